import OpenAI from "openai";
import { answered, described, key, now, question as messages, refusal, run, url, wrongKey } from "./checks.mjs";

const options = { baseURL: `${url}/api/v1`, apiKey: key, maxRetries: 0, timeout: 20_000 };
const client = new OpenAI(options);
const tools = [
  { type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } },
];
const ask = (model, more) => client.chat.completions.create({ model: `scripted/${model}`, messages, ...more });
const counted = (usage) => [usage.prompt_tokens, usage.completion_tokens];

async function secondStep(message) {
  const [call] = message.tool_calls;
  const result = { role: "tool", tool_call_id: call.id, content: answered };
  const echo = await ask("payload-echo", { messages: [...messages, message, result], tools });
  return { arguments: JSON.parse(call.function.arguments), sent: JSON.parse(echo.choices[0].message.content).messages };
}

await run({
  async chat() {
    const { choices, model, usage } = await ask("ok");
    return { text: choices[0].message.content, finish: choices[0].finish_reason, model, usage: counted(usage) };
  },
  async stream() {
    const chunks = [];
    for await (const chunk of await ask("ok", { stream: true })) chunks.push(chunk);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    return {
      text: choices.map((choice) => choice.delta.content ?? "").join(""),
      finishes: choices.map((choice) => choice.finish_reason).filter(Boolean),
      usage: counted(chunks.at(-1).usage),
    };
  },
  async tools() {
    const { message, finish_reason: finish } = (await ask("tools", { tools })).choices[0];
    return { finish, ...(await secondStep(message)) };
  },
  async streamed_tools() {
    const stream = client.chat.completions.stream({ model: "scripted/tools", messages, tools });
    const [{ message, finish_reason: finish }] = (await stream.finalChatCompletion()).choices;
    return { finish, ...(await secondStep(message)) };
  },
  async run_tools() {
    const asked = [];
    const weather = { ...tools[0].function, parse: JSON.parse, function: (input) => (asked.push(input), answered) };
    const loop = { model: "scripted/tools", messages, tools: [{ type: "function", function: weather }] };
    await client.chat.completions.runTools(loop, { maxChatCompletions: 2 }).done();
    return asked;
  },
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return names;
  },
  async unauthenticated() {
    const stranger = new OpenAI({ ...options, apiKey: wrongKey });
    return refusal(() => stranger.chat.completions.create({ model: "scripted/ok", messages }));
  },
  unknown_model: () => refusal(() => client.chat.completions.create({ model: "nobody/nothing", messages })),
  rate_limited: () => refusal(() => ask("429-ra-60")),
  rate_limited_stream: () => refusal(() => ask("429-ra-60", { stream: true })),
  async cut() {
    let text = "";
    const finishes = [];
    try {
      for await (const chunk of await ask("rst-after-3", { stream: true })) {
        text += chunk.choices[0]?.delta.content ?? "";
        finishes.push(...chunk.choices.map((choice) => choice.finish_reason).filter(Boolean));
      }
    } catch (error) {
      return { ...described(error), code: error.code, text, finishes };
    }
    throw new Error(`it looks complete: ${text}`);
  },
  async cancel() {
    const stream = await ask("slow-1001ms", { stream: true });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    stream.controller.abort();
    return { left: now() };
  },
});
