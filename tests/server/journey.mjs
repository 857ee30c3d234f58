// A journey by the official Node client; run by test_releases, with the folder it is installed in
// and the server's URL. Prints "done" when everything was as it should be.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const [packages, baseURL, version, project] = process.argv.slice(2);
const require = createRequire(path.join(packages, "index.js"));
const { OpenAI, toFile } = require("openai");
const { VERSION } = require("openai/version");

assert.equal(VERSION, version);
const client = new OpenAI({ baseURL, project, apiKey: "none", maxRetries: 0 });
const { assistants, threads } = client.beta;

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function refused(status, act) {
  try {
    await act();
  } catch (error) {
    assert.equal(error.status, status, String(error));
    return error;
  }
  throw new Error("it was let through");
}

async function messages() {
  const thread = await threads.create({ metadata: { k: "v" } });
  const ids = [];
  for (const text of ["0", "1", "2", "3", "4"]) {
    ids.push((await threads.messages.create(thread.id, { role: "user", content: text })).id);
  }
  const listed = await all(threads.messages.list(thread.id, { limit: 2, order: "asc" }));
  assert.deepEqual(listed.map((one) => one.id), ids);
  await threads.messages.delete(ids[0], { thread_id: thread.id });
  const gone = await refused(404, () =>
    threads.messages.retrieve(ids[0], { thread_id: thread.id }),
  );
  assert.match(gone.message, new RegExp(`No message found with id '${ids[0]}'`));
  assert.ok(gone.requestID.startsWith("req_"));
  return thread.id;
}

async function runs(thread_id, assistant_id) {
  await threads.messages.create(thread_id, { role: "user", content: "hello" });
  const polled = await threads.runs.createAndPoll(thread_id, { assistant_id });
  assert.equal(polled.status, "completed");

  await threads.messages.create(thread_id, { role: "user", content: "hello" });
  const heard = [];
  const stream = threads.runs.stream(thread_id, { assistant_id });
  for (const name of ["textCreated", "textDone", "messageCreated", "messageDone", "runStepDone"]) {
    stream.on(name, () => heard.push(name));
  }
  const [said] = await stream.finalMessages();
  assert.equal(said.content[0].text.value, "Hello there, dear friend.");
  assert.equal((await stream.finalRun()).status, "completed");
  assert.deepEqual(
    heard, ["messageCreated", "textCreated", "textDone", "messageDone", "runStepDone"],
  );

  await threads.messages.create(thread_id, { role: "user", content: "weather in Rome" });
  const paused = threads.runs.stream(thread_id, { assistant_id });
  let named = "";
  paused.on("toolCallCreated", (call) => (named = call.function.name));
  const run = await paused.finalRun();
  assert.equal(run.status, "requires_action");
  const [call] = run.required_action.submit_tool_outputs.tool_calls;
  assert.equal(named, call.function.name);
  const tool_outputs = [{ tool_call_id: call.id, output: "sunny" }];
  const resumed = threads.runs.submitToolOutputsStream(run.id, { thread_id, tool_outputs });
  assert.equal((await resumed.finalRun()).status, "completed");
  const late = await refused(400, () =>
    threads.runs.submitToolOutputs(run.id, { thread_id, tool_outputs }),
  );
  assert.match(late.message, /Runs in status "completed" do not accept tool outputs\./);
  assert.equal((await all(threads.runs.steps.list(run.id, { thread_id }))).length, 2);

  const made = await threads.createAndRunPoll({
    assistant_id, thread: { messages: [{ role: "user", content: "hello" }] },
  });
  assert.equal(made.status, "completed");
}

async function responses(thread_id) {
  const conversation = thread_id.replace("thread_", "conv_");
  const model = "scripted";
  const item = { type: "message", role: "user", content: "My code is Z-99." };
  await client.conversations.items.create(conversation, { items: [item] });
  const input = "What is the code I gave you?";
  const answer = await client.responses.create({ model, input, conversation });
  assert.match(answer.output_text, /Z-99/);
  const stream = client.responses.stream({ model, input, previous_response_id: answer.id });
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const last = await stream.finalResponse();
  assert.equal(last.output_text, text);
  assert.match(text, /Z-99/);
  const items = await all(client.conversations.items.list(conversation, { order: "asc", limit: 5 }));
  const shown = await all(threads.messages.list(thread_id, { order: "asc" }));
  const ids = items.filter((one) => one.type === "message").map((one) => one.id);
  assert.deepEqual(ids, shown.map((one) => one.id));
  assert.ok((await client.responses.inputItems.list(answer.id)).data.length > 0);
  await client.responses.delete(answer.id);
  await refused(404, () => client.responses.retrieve(answer.id));
}

async function background() {
  const model = "scripted";
  const slow = await client.responses.create({ model, input: "dictate", background: true });
  assert.equal((await client.responses.cancel(slow.id)).status, "cancelled");
  const request = { model, input: "hello", background: true, stream: true };
  const events = await all(await client.responses.create(request));
  const { id } = events[0].response;
  const rest = { stream: true, starting_after: 3 };
  assert.deepEqual(await all(await client.responses.retrieve(id, rest)), events.slice(4));
  const followed = client.responses.stream({ response_id: id });
  assert.equal((await followed.finalResponse()).output_text, "Hello there, dear friend.");
  await client.responses.delete(id);
  await refused(404, () => client.responses.retrieve(id));
}

async function parsed() {
  const schema = {
    type: "object",
    properties: { city: { type: "string" }, people: { type: "integer" } },
    required: ["city", "people"],
    additionalProperties: false,
  };
  const format = { type: "json_schema", name: "place", schema, strict: true };
  const request = { model: "scripted", input: "place", text: { format } };
  const response = await client.responses.parse(request);
  assert.deepEqual(response.text.format, format);
  assert.deepEqual(JSON.parse(response.output_text), { city: "Rome", people: 3 });
}

async function chatkit(thread_id) {
  const { threads: shown } = client.beta.chatkit;
  const [newest] = (await shown.list({ limit: 1 })).data;
  const thread = await shown.retrieve(newest.id);
  assert.equal(thread.object, "chatkit.thread");
  const items = await all(shown.listItems(thread_id, { order: "asc", limit: 3 }));
  const messages = await all(threads.messages.list(thread_id, { order: "asc" }));
  const kinds = { user: "chatkit.user_message", assistant: "chatkit.assistant_message" };
  assert.deepEqual(
    items.map((one) => one.type).filter((type) => type.endsWith("_message")),
    messages.map((one) => kinds[one.role]),
  );
  const session = { user: "ada", workflow: { id: "wf_1" } };
  await refused(400, () => client.beta.chatkit.sessions.create(session));
}

async function files() {
  const text = "The clew is a ball of thread. Ariadne gave it to Theseus.";
  const upload = await toFile(Buffer.from(text), "clew.txt");
  const file = await client.files.create({ file: upload, purpose: "assistants" });
  assert.equal(file.bytes, text.length);
  assert.equal(await (await client.files.content(file.id)).text(), text);
  const store = await client.vectorStores.create({ name: "myths" });
  const indexed = await client.vectorStores.files.createAndPoll(store.id, { file_id: file.id });
  assert.equal(indexed.status, "completed");
  const found = await all(client.vectorStores.search(store.id, { query: "Ariadne" }));
  assert.equal(found[0].file_id, file.id);
  await client.vectorStores.delete(store.id);
  await client.files.delete(file.id);
}

async function completions() {
  const messages = [{ role: "user", content: "hello" }];
  const request = { model: "scripted", messages, store: true };
  const completion = await client.chat.completions.create(request);
  const kept = await client.chat.completions.retrieve(completion.id);
  assert.deepEqual(kept.choices[0].message, completion.choices[0].message);
  const stream = client.chat.completions.stream({ model: "scripted", messages });
  assert.equal(await stream.finalContent(), completion.choices[0].message.content);
  await client.chat.completions.delete(completion.id);
  assert.ok((await all(client.models.list())).some((one) => one.id === "scripted"));
}

const assistant = await assistants.create({ model: "scripted", name: "Ada" });
const thread = await messages();
await runs(thread, assistant.id);
await responses(thread);
await background();
await parsed();
await chatkit(thread);
await files();
await completions();
await threads.delete(thread);
await assistants.delete(assistant.id);
await refused(404, () => threads.retrieve(thread));
console.log("done");
