// Runs checks in their order. Each prints one line: {"check", "found"}, or {"check", "threw"} when it came to no result.

export const [url, key] = process.argv.slice(2);
export const question = [{ role: "user", content: "Say five words." }];
export const wrongKey = "sk-wrong";
export const answered = "rain";

export async function run(checks) {
  for (const [check, body] of Object.entries(checks)) {
    const line = await body().then(
      (found) => ({ check, found }),
      (error) => ({ check, threw: String(error?.stack ?? error) }),
    );
    console.log(JSON.stringify(line));
  }
}

/** What a caller can tell about the error that `call` ends with; it must end with one. */
export async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return described(error);
  }
  throw new Error("nothing was refused");
}

export function described(error) {
  const wait = error.headers?.get?.("retry-after") ?? error.responseHeaders?.["retry-after"] ?? null;
  return { kinds: kindsOf(error), status: error.status ?? error.statusCode, message: error.message, wait };
}

function kindsOf(error) {
  const kinds = [];
  for (let kind = error.constructor; kind?.name; kind = Object.getPrototypeOf(kind)) kinds.push(kind.name);
  return kinds;
}

/** Seconds since 1970, as the provider notes them. */
export const now = () => Date.now() / 1000;
