import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { answered, described, key, now, question as messages, refusal, run, url, wrongKey } from "./checks.mjs";

const provider = (apiKey) =>
  createOpenAICompatible({ name: "parley", baseURL: `${url}/api/v1`, apiKey, includeUsage: true });
const parley = provider(key);
const settings = (model, more) => ({ model: parley(`scripted/${model}`), messages, maxRetries: 0, ...more });
const counted = (usage) => [usage.inputTokens, usage.outputTokens];
const silent = { onError() {} };

/** The SDK calls the tool itself and asks again; the second time it asks a model that tells what it was sent. */
function round() {
  const asked = [];
  const weather = tool({
    inputSchema: z.object({ city: z.string() }),
    execute: async (input) => (asked.push(input), answered),
  });
  const prepareStep = ({ stepNumber }) => (stepNumber ? { model: parley("scripted/payload-echo") } : {});
  return { asked, more: { tools: { weather }, stopWhen: stepCountIs(2), prepareStep } };
}

await run({
  async chat() {
    const { text, finishReason, response, usage } = await generateText(settings("ok"));
    return { text, finish: finishReason, model: response.modelId, usage: counted(usage) };
  },
  async stream() {
    const result = streamText(settings("ok"));
    let text = "";
    for await (const piece of result.textStream) text += piece;
    return { text, finishes: [await result.finishReason], usage: counted(await result.usage) };
  },
  async tools() {
    const { asked, more } = round();
    const { steps, text } = await generateText(settings("tools", more));
    return { finish: steps[0].finishReason, arguments: asked[0], sent: JSON.parse(text).messages };
  },
  async streamed_tools() {
    const { asked, more } = round();
    const result = streamText(settings("tools", more));
    const text = await result.text;
    return { finish: (await result.steps)[0].finishReason, arguments: asked[0], sent: JSON.parse(text).messages };
  },
  unauthenticated: () => refusal(() => generateText({ model: provider(wrongKey)("scripted/ok"), messages, maxRetries: 0 })),
  unknown_model: () => refusal(() => generateText({ model: parley("nobody/nothing"), messages, maxRetries: 0 })),
  rate_limited: () => refusal(() => generateText(settings("429-ra-60"))),
  async rate_limited_stream() {
    for await (const part of streamText(settings("429-ra-60", silent)).fullStream)
      if (part.type === "error") return described(part.error);
    throw new Error("nothing was refused");
  },
  async cut() {
    const parts = [];
    for await (const part of streamText(settings("rst-after-3", silent)).fullStream) parts.push(part);
    const failed = parts.find((part) => part.type === "error");
    if (!failed) throw new Error("it looks complete");
    return {
      message: String(failed.error?.message ?? failed.error),
      text: parts.map((part) => (part.type === "text-delta" ? part.text : "")).join(""),
      finishes: parts.filter((part) => part.type === "finish").map((part) => part.finishReason),
    };
  },
  async cancel() {
    const leaving = new AbortController();
    const { textStream } = streamText(settings("slow-1002ms", { ...silent, abortSignal: leaving.signal }));
    for await (const piece of textStream) if (piece) break;
    leaving.abort();
    return { left: now() };
  },
});
