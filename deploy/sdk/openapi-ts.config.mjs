// `generate` names the document and the folder.
export default {
  input: process.env.SDK_DOCUMENT,
  output: { path: process.env.SDK_FOLDER, module: { extension: ".js" } },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
};
