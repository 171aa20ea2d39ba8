import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TokenizerLoader } from '@lenml/tokenizers';
import { type RunConfig, runSchema } from 'locmoe/internal/config/schema';
import { encodeMessages, type Message, templateOf } from 'locmoe/internal/data/template';
import { tokenizerJson, trainBpe } from 'locmoe/internal/data/tokenizer/bpe-trainer';
import { loadTokenizer } from 'locmoe/internal/data/tokenizer/tokenizer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith } from '../../../scripts/python-oracles.mjs';
import { skipLoudly } from '../../../test/debian-tool.js';
import { chatTemplate } from '../src/huggingface/chat-template.js';
import { modelCard } from '../src/huggingface/model-card.js';
import { writeTokenizer } from '../src/huggingface/tokenizer-files.js';
import { writeFolder } from '../src/output-folder.js';
import { runPython } from './python.js';

/** A template with quotes, braces and letters that are syntax in a template language. */
const ODD = {
  system: { prefix: '{# rule #} ', suffix: '\n\n' },
  user: { prefix: `"问" it's {{ user }}\t: `, suffix: ' \\n\n' },
  assistant: { prefix: 'A:\n', suffix: ' {% end %}\n' },
};
const MESSAGES: readonly Message[] = [
  { role: 'system', content: 'Answer in one word.' },
  { role: 'user', content: 'What does {{ bos_token }} mean?\n' },
  { role: 'assistant', content: 'Begin.' },
  { role: 'user', content: '  And 结束?' },
];

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-chat-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const tokenizerFile = path.join(folder, 'tokenizer.json');
beforeAll(() => writeFileSync(tokenizerFile, tokenizerJson(trainBpe([JSON.stringify(ODD).repeat(9)], 300))));

/** The configuration of a model with these domains: a template for each fine-tuned domain, null for plain text. */
function configOf(domains: Readonly<Record<string, object | null>>): RunConfig {
  const sources = Object.entries(domains).flatMap(([name, template]) =>
    template === null ? [] : [[name, { files: ['a.jsonl'], instruct: { template } }]],
  );
  return runSchema.parse({
    name: 'chat',
    model: {
      dModel: 8,
      numHeads: 2,
      numDenseLayers: 1,
      numSparseLayers: 0,
      dFeedForward: 8,
      vocabSize: 300,
      seqLen: 512,
    },
    moe: { numExperts: 2, router: 'switch', expertGroups: 1 },
    data: { domains: Object.keys(domains), sources: Object.fromEntries(sources) },
    train: { steps: 1, globalBatch: 1, learningRate: 0.1 },
  });
}

async function exported(config: RunConfig) {
  const to = path.join(folder, `export-${Math.random()}`);
  const { endOfTextName } = loadTokenizer(tokenizerFile);
  await writeFolder(to, (output) => writeTokenizer(output, tokenizerFile, endOfTextName, config));
  const json = (name: string) => JSON.parse(readFileSync(path.join(to, name), 'utf8'));
  return { to, tokenizer: json('tokenizer.json'), settings: json('tokenizer_config.json') };
}

describe.each([
  ['the default template', {}],
  ['odd characters', ODD],
])('a conversation becomes the tokens of training, with %s', (_, template) => {
  const config = configOf({ en: null, qa: template });
  const ownTokens = (messages: readonly Message[]) =>
    encodeMessages(messages, templateOf(config.data, 1)!, loadTokenizer(tokenizerFile)).ids;

  it('in JavaScript', async () => {
    const { tokenizer, settings } = await exported(config);
    const chat = TokenizerLoader.fromPreTrained({ tokenizerJSON: tokenizer, tokenizerConfig: settings });
    for (const length of [2, 4]) {
      const messages = MESSAGES.slice(0, length);
      expect(
        chat.apply_chat_template([...messages], { add_generation_prompt: true, return_tensor: false }),
      ).toEqual(ownTokens(messages));
    }
  });

  it('in Python, as transformers renders it', async ({ skip }) => {
    const python = pythonWith(['jinja2']) ?? skipLoudly(skip, 'no Python with jinja2');
    const { to, settings } = await exported(config);
    const { prefix, suffix } = templateOf(config.data, 1)!.user;
    const first = MESSAGES.slice(1, 2);
    const program = `
import json, sys
from jinja2.sandbox import ImmutableSandboxedEnvironment
settings = json.load(open(sys.argv[1] + "/tokenizer_config.json"))
template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(settings["chat_template"])
print(json.dumps(template.render(messages=json.loads(sys.argv[2]), add_generation_prompt=True, **settings)))`;
    const begin = loadTokenizer(tokenizerFile).endOfTextName;
    expect(settings.bos_token).toBe(begin);
    expect(JSON.parse(runPython(python, program, to, JSON.stringify(first)))).toBe(
      `${begin}${prefix}${first[0]!.content}${suffix}${templateOf(config.data, 1)!.assistant.prefix}`,
    );
  });
});

it('a model of text alone has none', async () => {
  const { settings } = await exported(configOf({ en: null }));
  expect(settings).not.toHaveProperty('chat_template');
});

it('domains of one template share it, of several each has its own by name, the first for all others', () => {
  expect(chatTemplate(configOf({ a: ODD, b: ODD, en: null }))).toEqual(chatTemplate(configOf({ a: ODD })));
  const [a, b] = [{ a: ODD }, { b: {} }].map((domain) => chatTemplate(configOf(domain)));
  expect(chatTemplate(configOf({ en: null, a: ODD, b: {} }))).toEqual([
    { name: 'default', template: a },
    { name: 'a', template: a },
    { name: 'b', template: b },
  ]);
});

it('the model card says how to ask, with the domain that learned answers where that chooses experts', () => {
  const card = (domains: Readonly<Record<string, object | null>>, numSparseLayers: number) => {
    const { model, moe, ...rest } = configOf(domains);
    const config = { ...rest, model: { ...model, numSparseLayers }, moe: { ...moe, expertGroups: 2 } };
    const facts = { validation: null, domains: [] };
    return modelCard({ config, runId: 'run', step: 1 }, facts, 'locmoe', '<|endoftext|>');
  };
  expect(card({ en: null, qa: {} }, 1)).toMatch(
    /apply_chat_template\(messages.*\n.*generate\(\*\*inputs, domain="qa", max/,
  );
  expect(card({ en: null, qa: {} }, 0)).toMatch(
    /apply_chat_template\(messages.*\n.*generate\(\*\*inputs, max/,
  );
  expect(card({ en: null }, 1)).not.toContain('apply_chat_template');
});
