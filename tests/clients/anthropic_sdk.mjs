import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { answered, described, key, now, question as messages, refusal, run, url, wrongKey } from "./checks.mjs";

const options = { baseURL: `${url}/api`, apiKey: key, maxRetries: 0, timeout: 20_000 };
const client = new Anthropic(options);
const tools = [{ name: "weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
const request = (model, more) => ({ model: `scripted/${model}`, max_tokens: 10_000, messages, ...more });
const ask = (model, more) => client.messages.create(request(model, more));
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");
const counted = (usage) => [usage.input_tokens, usage.output_tokens];

async function secondStep(message) {
  const call = message.content.find((block) => block.type === "tool_use");
  const result = { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: answered }] };
  const turn = { role: "assistant", content: message.content };
  const echo = await ask("payload-echo", { messages: [...messages, turn, result], tools });
  return { arguments: call.input, sent: JSON.parse(textOf(echo)).messages };
}

await run({
  async chat() {
    const message = await ask("ok", { system: "Be brief." });
    return { text: textOf(message), finish: message.stop_reason, model: message.model, usage: counted(message.usage) };
  },
  async stream() {
    const pieces = [];
    const stream = client.messages.stream(request("ok")).on("text", (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    return { text: pieces.join(""), whole: textOf(message), finishes: [message.stop_reason], usage: counted(message.usage) };
  },
  async tools() {
    const message = await ask("tools", { tools });
    return { finish: message.stop_reason, ...(await secondStep(message)) };
  },
  async streamed_tools() {
    const message = await client.messages.stream(request("tools", { tools })).finalMessage();
    return { finish: message.stop_reason, ...(await secondStep(message)) };
  },
  async tool_runner() {
    const asked = [];
    const weather = betaTool({
      ...{ name: "weather", description: "Of today.", inputSchema: tools[0].input_schema },
      run: (input) => (asked.push(input), answered),
    });
    await client.beta.messages.toolRunner(request("tools~runner", { tools: [weather], max_iterations: 2 }));
    return asked;
  },
  async count() {
    const counted = await client.messages.countTokens({ model: "scripted/ok", messages });
    return counted.input_tokens;
  },
  async unauthenticated() {
    const stranger = new Anthropic({ ...options, apiKey: wrongKey });
    return refusal(() => stranger.messages.create(request("ok")));
  },
  unknown_model: () => refusal(() => client.messages.create({ model: "nobody/nothing", max_tokens: 9, messages })),
  rate_limited: () => refusal(() => ask("429-ra-60")),
  rate_limited_stream: () => refusal(() => ask("429-ra-60", { stream: true })),
  async cut() {
    let text = "";
    const finishes = [];
    try {
      for await (const event of await ask("rst-after-3", { stream: true })) {
        text += event.delta?.text ?? "";
        if (event.delta?.stop_reason) finishes.push(event.delta.stop_reason);
      }
    } catch (error) {
      return { ...described(error), text, finishes };
    }
    throw new Error(`it looks complete: ${text}`);
  },
  async cancel() {
    const stream = await ask("slow-1003ms", { stream: true });
    for await (const event of stream) if (event.delta?.text) break;
    stream.controller.abort();
    return { left: now() };
  },
});
