import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Batch } from '../../src/data/batch.js';
import { CORPUS_DIR } from '../../src/data/built-in/corpora.js';
import type { Dataset } from '../../src/data/dataset.js';
import { createLoader, type LoaderOptions } from '../../src/data/loader.js';
import { prepareDataset } from '../../src/data/prepare/prepare.js';
import { textSourceSchema } from '../../src/data/read/text-source.js';
import { encodeMessages, MARK, type Message, templateSchema } from '../../src/data/template.js';
import { tokenizerJson, trainBpe } from '../../src/data/tokenizer/bpe-trainer.js';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer/tokenizer.js';

const VOCAB = 300;
const TEMPLATE = templateSchema.parse({});
const PAIRS = Array.from({ length: 40 }, (_, i) => ({
  prompt: `How much is ${i} plus ${i % 7}?`,
  completion: `It is ${i + (i % 7)}.`,
}));

let folder: string;
let tokenizerFile: string;
let tokenizer: Tokenizer;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-samples-'));
  const text = PAIRS.map(({ prompt, completion }) => `${prompt}\n${completion}`);
  tokenizerFile = path.join(folder, 'tokenizer.json');
  writeFileSync(tokenizerFile, tokenizerJson(trainBpe(text, VOCAB)));
  tokenizer = loadTokenizer(tokenizerFile);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, contents: string | Uint8Array): string {
  writeFileSync(path.join(folder, name), contents);
  return name;
}

const jsonLines = (samples: readonly object[]) => samples.map((each) => JSON.stringify(each)).join('\n');

async function prepare(
  files: string,
  instruct: object = {},
  more: Record<string, object> = {},
  log: (line: string) => void = () => undefined,
): Promise<Dataset> {
  const sources = Object.fromEntries(
    Object.entries({ qa: { files, instruct }, ...more }).map(([name, written]) => [
      name,
      textSourceSchema.parse({ folder, ...written }),
    ]),
  );
  return prepareDataset({
    dataDir: path.join(folder, 'data'),
    corpusDir: CORPUS_DIR,
    corpus: 'standard',
    domains: Object.keys(sources),
    sources,
    maxBytesPerDomain: null,
    validationShare: 0.2,
    vocabSize: VOCAB,
    tokenizer: tokenizerFile,
    endOfText: null,
    log,
  });
}

/** Each sample of a split as text, the answers' tokens in brackets. */
function samplesOf(dataset: Dataset, split: 'train' | 'validation', domain = 0): string[] {
  const { ids, marks } = dataset.domains[domain]![split];
  const texts: string[] = [];
  let begin = 0;
  const all = ids.slice(0, ids.length);
  for (let at = 1; at <= ids.length; at++) {
    if (at < ids.length && marks![at] !== MARK.begin) continue;
    const isAnswer = (i: number) => marks![i] === MARK.answer;
    let text = '';
    for (let i = begin; i < at; i++) {
      if (isAnswer(i) && !isAnswer(i - 1)) text += '[';
      text += all[i] === dataset.endOfText ? '$' : tokenizer.decode([all[i]!]);
      if (isAnswer(i) && (i + 1 === at || !isAnswer(i + 1))) text += ']';
    }
    texts.push(text);
    begin = at;
  }
  return texts;
}

describe('encodeMessages', () => {
  const turns: Message[] = [
    { role: 'system', content: 'Be short.' },
    { role: 'user', content: 'How much is 1 plus 1?' },
    { role: 'assistant', content: 'It is 2.' },
    { role: 'user', content: 'And <|endoftext|>?' },
  ];

  it('asks for an answer where the last turn is none, with the tokens that training has before it', () => {
    const asked = encodeMessages(turns, TEMPLATE, tokenizer);
    const answered = encodeMessages([...turns, { role: 'assistant', content: '3' }], TEMPLATE, tokenizer);
    expect(answered.ids.slice(0, asked.ids.length)).toEqual(asked.ids);
    expect(answered.marks.slice(asked.ids.length).every((mark) => mark === MARK.answer)).toBe(true);
    expect(tokenizer.decode(asked.ids)).toBe(
      'Be short.\nQuestion: How much is 1 plus 1?\nAnswer:\nIt is 2.Question: And <|endoftext|>?\nAnswer:\n',
    );
    // The name of a special token within a message is ordinary text: the only end-of-text tokens are the template's.
    expect(asked.ids.filter((id) => id === tokenizer.endOfText)).toHaveLength(2);
  });
});

describe('prepared samples', () => {
  it('mark the answers with their ends, in both forms of a line, and hold out a share of the questions', async () => {
    const messages = {
      messages: [
        { role: 'user', content: 'A?' },
        { role: 'assistant', content: 'B' },
      ],
      id: 7,
    };
    const repeated = PAIRS.map(({ prompt }) => ({ prompt, completion: 'again' }));
    const instructed = PAIRS.map(({ prompt }) => ({
      messages: [
        { role: 'system', content: 'Be short.' },
        { role: 'user', content: prompt },
        { role: 'assistant', content: 'once more' },
      ],
    }));
    write('a.jsonl', `${jsonLines([...PAIRS, ...repeated, ...instructed, messages])}\n\n`);
    const dataset = await prepare('a.jsonl');
    const [train, validation] = [samplesOf(dataset, 'train'), samplesOf(dataset, 'validation')];
    expect([...train, ...validation]).toContain('$Question: A?\nAnswer:\n[B$]');
    expect([...train, ...validation].toSorted()).toEqual(
      [
        ...[...PAIRS, ...repeated, { prompt: 'A?', completion: 'B' }].map(
          ({ prompt, completion }) => `$Question: ${prompt}\nAnswer:\n[${completion}$]`,
        ),
        ...PAIRS.map(({ prompt }) => `$Be short.\nQuestion: ${prompt}\nAnswer:\n[once more$]`),
      ].toSorted(),
    );
    expect(validation.length / 121).toBeGreaterThan(0.05);
    expect(validation.length / 121).toBeLessThan(0.4);
    const questionOf = (text: string) => /Question: (.*)\nAnswer/.exec(text)![1];
    const asked = new Set(train.map(questionOf));
    expect(validation.map(questionOf).filter((question) => asked.has(question))).toEqual([]);
    const { documents } = dataset.domains[0]!.validation;
    expect(documents).toBe(validation.length);
    dataset.close();
  });

  it('take validation from files of their own, a template from the source, and compressed files', async () => {
    writeFileSync(path.join(folder, 'b.jsonl.gz'), gzipSync(jsonLines(PAIRS)));
    write('held-out.jsonl', jsonLines([{ prompt: 'X?', completion: 'Y' }]));
    const template = { user: { prefix: '<', suffix: '>' }, assistant: { prefix: '', suffix: '!' } };
    const dataset = await prepare('b.jsonl.gz', { template, validation: ['held-out.jsonl'] });
    expect(samplesOf(dataset, 'validation')).toEqual(['$<X?>[Y!$]']);
    expect(dataset.domains[0]!.train.documents).toBe(PAIRS.length);
    dataset.close();
  });

  it('say that a file is held out and trained on too', async () => {
    write('both.jsonl', jsonLines(PAIRS));
    write('apart.jsonl', jsonLines(PAIRS.slice(0, 3)));
    const said = async (heldOut: string) => {
      const lines: string[] = [];
      (await prepare('both.jsonl', { validation: [heldOut] }, {}, (line) => lines.push(line))).close();
      return lines.join('\n');
    };
    expect(await said('b*h.jsonl')).toMatch(
      /both\.jsonl is listed both for training and for validation: the validation loss of qa /,
    );
    expect(await said('apart.jsonl')).not.toMatch(/listed both/);
  });

  const turn = (role: string) => `{"messages": [{"role": "${role}", "content": "a"}]}`;
  it.each([
    ['{"prompt": "a",', /:2 is no JSON \(/],
    ['[1]', /:2 is no JSON object/],
    ['{"question": "a"}', /:2 has neither prompt and completion nor messages \(fields: question\)/],
    ['{"prompt": "a", "messages": []}', /:2 has messages beside prompt and completion/],
    ['{"prompt": "a"}', /:2 completion: is missing/],
    ['{"prompt": "a", "completion": 3}', /:2 completion: must be text/],
    ['{"prompt": "a", "completion": " \\n"}', /:2 completion: is empty/],
    ['{"messages": []}', /:2 messages: is empty/],
    [turn('bot'), /:2 messages\.0\.role: "bot" is none of system, user, assistant/],
    [turn('user'), /:2 messages: must end with an answer \(role assistant\)/],
    ['{"messages": "hello"}', /:2 messages: must be a list of \{ role, content \}/],
    [Buffer.from('{"prompt": "\xff"}', 'latin1'), /:2 is not UTF-8/],
  ])('refuse the line %j with file, line and field', async (bad, message) => {
    write('bad.jsonl', Buffer.concat([Buffer.from(`${jsonLines(PAIRS.slice(0, 1))}\n`), Buffer.from(bad)]));
    await expect(prepare('bad.jsonl')).rejects.toMatchObject({
      code: 'BAD_INPUT',
      message: expect.stringMatching(new RegExp(`^[^\n]*${message.source}[^\n]*$`)),
    });
  });

  it('refuse files without samples, folders, and samples without a tokenizer', async () => {
    write('blank.jsonl', '\n \n');
    await expect(prepare('blank.jsonl')).rejects.toThrow('domain qa: there is no sample in its files');
    mkdirSync(path.join(folder, 'folder'), { recursive: true });
    await expect(prepare('folder')).rejects.toThrow(
      /folder is a folder; say which files in it, e\.g\. \S+\*\.jsonl/,
    );
    write('a.jsonl', jsonLines(PAIRS));
    await expect(prepare('a.jsonl', { validation: ['none.jsonl'] })).rejects.toThrow(
      /no file matches "none.jsonl"/,
    );
  });
});

describe('a loader of samples', () => {
  let dataset: Dataset;
  beforeAll(async () => {
    const long = { prompt: 'Why? '.repeat(30), completion: 'Because.' };
    const endless = { prompt: 'How?', completion: 'So. '.repeat(60) };
    write('c.jsonl', jsonLines([...PAIRS, long, endless]));
    write('held-out.jsonl', jsonLines(PAIRS.slice(0, 3)));
    write('text.txt', PAIRS.map(({ prompt }) => `${prompt} ${prompt}`).join('\n'));
    dataset = await prepare(
      'c.jsonl',
      { validation: ['held-out.jsonl'] },
      { text: { files: 'text.txt', separator: '\n' } },
    );
  });
  afterAll(() => dataset.close());

  const SEQ_LEN = 64;
  const loader = (change: Partial<LoaderOptions> = {}) =>
    createLoader({
      dataset,
      weights: undefined,
      seed: 5,
      globalBatch: 8,
      seqLen: SEQ_LEN,
      rank: 0,
      worldSize: 1,
      ...change,
    });

  /** The samples of a batch as they were before they were packed. */
  function unpacked({ tokenIds, targets, packed, domains }: Batch): string[] {
    const found: string[] = [];
    const { positions, counted } = packed!;
    for (let begin = 0; begin < tokenIds.length; ) {
      let end = begin + 1;
      while (end < tokenIds.length && positions[end] !== 0) end++;
      const answer = [...targets.slice(begin, end)].filter((_, i) => counted[begin + i] === 1);
      if (domains[Math.floor(begin / SEQ_LEN)] === 0 && answer.length > 0)
        found.push(`${tokenizer.decode(tokenIds.slice(begin, end))}[${tokenizer.decode(answer)}]`);
      begin = end;
    }
    return found;
  }

  it('shows each sample once in an epoch, cuts a long question from the left and leaves out a long answer', () => {
    const one = loader();
    const [{ packing }] = one.packings as [(typeof one.packings)[0]];
    expect(packing).toMatchObject({ numSamples: PAIRS.length + 1, numCut: 1, numLeftOut: 1 });
    const seen: string[] = [];
    // Of two domains with equal weights every second sequence is of the first.
    for (let step = 0; step < packing.rows.length / 4; step++) seen.push(...unpacked(one.batchForStep(step)));
    const whole = PAIRS.map(
      ({ prompt, completion }) => `Question: ${prompt}\nAnswer:\n${completion}[${completion}]`,
    );
    const epoch = new Set(seen);
    for (const sample of whole) expect(epoch).toContain(sample);
    const cut = [...epoch].filter((sample) => sample.includes('Why?'));
    expect(cut).toHaveLength(1);
    expect(cut[0]).toMatch(/^(?!Question).*Why\? \nAnswer:\nBecause\.\[Because\.\]$/s);
    expect([...epoch].some((sample) => sample.includes('So.'))).toBe(false);
  });

  it('counts the answers of all ranks in every batch, and all of a sequence of text', () => {
    for (const step of [0, 1, 7]) {
      const whole = loader().batchForStep(step);
      const parts = [0, 1].map((rank) => loader({ rank, worldSize: 2 }).batchForStep(step));
      const sum = (values: Uint8Array) => values.reduce((total, each) => total + each, 0);
      expect(whole.packed!.numCounted).toBe(sum(whole.packed!.counted));
      expect(parts.flatMap(({ packed }) => [...packed!.counted])).toEqual([...whole.packed!.counted]);
      expect(parts.flatMap(({ packed }) => [...packed!.positions])).toEqual([...whole.packed!.positions]);
      for (const { packed } of parts) expect(packed!.numCounted).toBe(whole.packed!.numCounted);
      whole.domains.forEach((domain, row) => {
        const counted = sum(whole.packed!.counted.subarray(row * SEQ_LEN, (row + 1) * SEQ_LEN));
        if (domain === 1) expect(counted).toBe(SEQ_LEN);
        else expect(counted).toBeLessThan(SEQ_LEN);
      });
    }
  });

  it('refuses sequences that no answer fits into', () => {
    expect(() => loader({ seqLen: 3 })).toThrow(
      'model.seqLen: domain qa has no train sample whose answer fits into 3 tokens; shorten the answers',
    );
  });
});
