import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import OpenAI from 'openai';
import { afterAll, describe, expect, it } from 'vitest';
import { runPython } from '../../packages/export/test/python.js';
import { pythonWith } from '../../scripts/python-oracles.mjs';
import { serveApi } from '../../src/api/serve-api.js';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import type { Message } from '../../src/data/template.js';
import { asRead } from '../../src/inference/generate.js';
import { type Inference, openInference } from '../../src/inference/inference.js';
import { skipLoudly } from '../debian-tool.js';
import { runCommand } from '../run-command.js';
import { CHATML, idOf, LLAMA_3, writePublishedChat } from './published-chat.js';
import { SERVE_OPTIONS } from './support.js';

const MESSAGES: readonly Message[] = [
  { role: 'system', content: 'in one word' },
  { role: 'user', content: ' who sat\non the mat?  ' },
  { role: 'assistant', content: 'the cat' },
  { role: 'user', content: "und “wer” {{ bos_token }} isn't 猫?" },
];

const root = mkdtempSync(path.join(tmpdir(), 'locmoe-published-chat-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const place = (name: string) => path.join(root, name);
const write = (name: string, file: string, content: unknown) =>
  writeFileSync(
    path.join(place(name), file),
    typeof content === 'string' ? content : JSON.stringify(content),
  );

function opened(name: string): Inference {
  return openInference(openCheckpoint(place(name)));
}

/** Token ids of MESSAGES: the template rendered by Python's Jinja as transformers does, encoded by HuggingFace's tokenizers. */
async function foreignIds(python: string, name: string, settings: object): Promise<number[]> {
  const program = `
import json, sys
from jinja2.sandbox import ImmutableSandboxedEnvironment
settings, messages = map(json.loads, sys.argv[1:])
tokens = {k: v["content"] if isinstance(v, dict) else v for k, v in settings.items()}
environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
environment.globals["raise_exception"] = None
template = environment.from_string(tokens.pop("chat_template"))
print(json.dumps(template.render(messages=messages, tools=None, add_generation_prompt=True, **tokens)))`;
  const text = JSON.parse(runPython(python, program, JSON.stringify(settings), JSON.stringify(MESSAGES)));
  const { Tokenizer } = createRequire(import.meta.url)('tokenizers');
  const tokenizer = Tokenizer.fromFile(path.join(place(name), 'tokenizer.json'));
  return (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds();
}

const TEMPLATES: readonly (readonly [string, typeof CHATML | typeof LLAMA_3, string])[] = [
  ['ChatML', CHATML, '<|im_end|>'],
  ['Llama 3', LLAMA_3, '<|eot_id|>'],
];

describe.each(TEMPLATES)('a folder with the template of %s', (name, settings, endOfTurn) => {
  writePublishedChat(place(name), settings);
  const inference = opened(name);
  const read = (prompt: readonly Message[]) => asRead(inference, { prompt, domain: 0 });

  it("gives the tokens of Jinja's own engine and HuggingFace's tokenizers, and ends with its turn", async ({
    skip,
  }) => {
    const python = pythonWith(['jinja2']) ?? skipLoudly(skip, 'no Python with jinja2');
    const { tokenIds, ends } = read(MESSAGES);
    expect(tokenIds).toEqual(await foreignIds(python, name, settings));
    expect(tokenIds.filter((id) => id === idOf(endOfTurn))).toHaveLength(4);
    expect([...ends]).toEqual([idOf(endOfTurn)]);
  });

  it('takes the name of a special token in a message for text', () => {
    const content = `the ${endOfTurn}cat`;
    const { tokenIds } = read([
      { role: 'system', content: 'a' },
      { role: 'user', content },
    ]);
    expect(tokenIds.filter((id) => id === idOf(endOfTurn))).toHaveLength(2);
    expect(inference.tokenizer.decode(tokenIds, true)).toContain(content);
  });
});

it('a template in a file of its own comes first, and of several the default one', () => {
  const [a, b] = ['a', 'b'].map((text) => ({ template: `{{ '${text}' + messages[0].content }}` }));
  writePublishedChat(place('several'), {
    chat_template: [
      { name: 'tool_use', ...b },
      { name: 'default', ...a },
    ],
  });
  const textOf = () => {
    const inference = opened('several');
    const { tokenIds } = asRead(inference, { prompt: [{ role: 'user', content: 'cat' }], domain: 0 });
    return inference.tokenizer.decode(tokenIds);
  };
  expect(textOf()).toBe('acat');
  write('several', 'chat_template.jinja', b!.template);
  expect(textOf()).toBe('bcat');
});

it('a template that loops on and on is given up after three seconds', () => {
  const loop = (depth: number): string =>
    depth === 0 ? '' : `{% for i in range(1000) %}${loop(depth - 1)}{% endfor %}`;
  writePublishedChat(place('endless'), { chat_template: loop(4) });
  const inference = opened('endless');
  expect(() => asRead(inference, { prompt: [{ role: 'user', content: 'cat' }], domain: 0 })).toThrow(
    /tokenizer_config\.json: the chat template refuses these messages \(.*timed out after 3000ms\)$/,
  );
});

it('the API answers in the form of the template, ends at a token of generation_config.json, and refuses as the template does', async () => {
  const name = 'Llama 3';
  const inference = opened(name);
  const messages = MESSAGES.slice(0, 2);
  const { tokenIds } = asRead(inference, { prompt: messages, domain: 0 });
  // The first greedy token after the second that did not occur before becomes the end of answers.
  const { decoder, tokenizer } = inference;
  const { sequence, hiddenSD } = decoder.begin([{ tokenIds, domain: 0, maxTokens: 20 }])[0]!;
  let [logits] = decoder.logitsOf(hiddenSD.subarray(-inference.config.model.dModel));
  const ids: number[] = [];
  for (let i = 0; i < 20; i++) {
    ids.push(logits!.indexOf(Math.max(...logits!)));
    logits = decoder.extend([sequence], [ids.at(-1)!])[0];
  }
  const last = ids.findIndex((id, i) => i > 1 && ids.indexOf(id) === i);
  expect(last).toBeGreaterThan(0);
  write(name, 'generation_config.json', { eos_token_id: [idOf('<|im_end|>'), ids[last]] });

  const server = await serveApi(opened(name), SERVE_OPTIONS);
  const baseURL = `http://127.0.0.1:${server.address.port}/v1`;
  const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
  const asked = { model: name, temperature: 0, max_tokens: 20 };
  try {
    const { choices, usage } = await client.chat.completions.create({ ...asked, messages: [...messages] });
    expect(choices[0]).toMatchObject({
      message: { content: tokenizer.decode(ids.slice(0, last)) },
      finish_reason: 'stop',
    });
    expect(usage).toMatchObject({ prompt_tokens: tokenIds.length, completion_tokens: last + 1 });
    const fourTurns = [...MESSAGES.slice(1), ...MESSAGES.slice(2)];
    await expect(client.chat.completions.create({ ...asked, messages: fourTurns })).rejects.toMatchObject({
      status: 400,
      param: 'messages',
      message: expect.stringMatching(/refuses these messages \(begin with the system, please\)$/),
    });
  } finally {
    await server.close(0);
  }
});

it.each([
  ['chat_template.jinja', '{% for message in messages %}{{ message', /: the chat template cannot be read \(/],
  ['tokenizer_config.json', '{"chat_template": 5}', /: chat_template \(/],
  ['generation_config.json', '{"eos_token_id": "x"}', /: eos_token_id \(/],
])('a broken %s is one line', async (file, content, message) => {
  const name = `broken ${file}`;
  writePublishedChat(place(name), CHATML);
  write(name, file, content);
  for (const [command, ...prompt] of [['api'], ['generate', '--prompt', 'a']]) {
    const { code, stderr } = await runCommand(command!, '--checkpoint', place(name), ...prompt);
    expect(stderr).toMatch(message);
    expect(stderr).toContain(`locmoe: ${path.join(place(name), file)}`);
    expect([code, stderr.split('\n').length]).toEqual([2, 2]);
  }
});
