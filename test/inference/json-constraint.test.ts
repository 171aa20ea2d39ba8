import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js';
import { bytesToEnd, JSON_START, nextJson } from '../../src/inference/json-automaton.js';
import { type Drawn, TextDraw } from '../../src/inference/text-draw.js';
import { CounterRandom } from '../../src/parameters/counter-random.js';

/** The parser state after a text; null if the text is not a prefix of a JSON object. */
function after(bytes: Uint8Array) {
  return bytes.reduce<typeof JSON_START | null>((state, byte) => state && nextJson(state, byte), JSON_START);
}

/** Whether a text can be encoded in UTF-8, which a surrogate left alone by an edit cannot. */
const isText = (text: string) => Buffer.from(text).toString() === text;

it('takes what JSON.parse takes, to the byte where it ends, and nothing else', () => {
  const objects = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 6 }), { maxKeys: 4 });
  const edit = fc.option(fc.tuple(fc.nat(), fc.constantFrom(...'{}[]",:\\0-.eE+ut\u0001\u00e9\u{1f642}')));
  let numWrong = 0;
  fc.assert(
    fc.property(objects, fc.constantFrom(0, 1, 4), edit, (object, indent, edited) => {
      // An edit of a line break would leave white space that the grammar does not take.
      let text = JSON.stringify(object, null, edited === null ? indent : 0);
      if (edited !== null) {
        const at = edited[0] % text.length;
        text = text.slice(0, at) + edited[1] + text.slice(at + 1);
      }
      // Trailing white space is no part of the object.
      const state = after(Buffer.from(text.trimEnd()));
      let isObject = false;
      try {
        isObject = /^\s*\{/.test(text) && typeof JSON.parse(text) === 'object' && isText(text);
      } catch {
        numWrong++;
      }
      if (isText(text)) expect([text, state?.place === 'done']).toEqual([text, isObject]);
    }),
    { numRuns: 2_000 },
  );
  expect(numWrong).toBeGreaterThan(200);
});

it('takes the white space of compact and of indented JSON, and no more', () => {
  const isBeginning = (text: string) => after(Buffer.from(text)) !== null;
  const indented = (depth: number) => ' '.repeat(Math.min(32, 4 * depth));
  const broken = [
    '{',
    '{"a": [',
    '{"a": [1,',
    '{"a": 1,',
    '{"a": 1',
    '{"a": "  "',
    `{"a": ${'['.repeat(20)}`,
  ];
  for (const text of [...broken, '{"a":']) {
    const most = `${text}\n${indented(text.split(/[{[]/).length - 1)}`;
    const mayBreak = text !== '{"a":';
    expect([text, isBeginning(`${text} `)]).toEqual([text, true]);
    expect([text, isBeginning(`${text}\n`), isBeginning(most)]).toEqual([text, mayBreak, mayBreak]);
    for (const more of ['  ', ' \n', '\n\n', '\t', '\n\t', '\r', '\r\n'])
      expect([text, more, isBeginning(text + more)]).toEqual([text, more, false]);
    expect([text, isBeginning(`${most} `)]).toEqual([text, false]);
  }
  for (const text of ['', '{"a"', '{"a":-', '{"a":t', '{}'])
    for (const space of [' ', '\n']) expect([text, isBeginning(text + space)]).toEqual([text, false]);
  for (const text of ['{"a":1 ,', '{"a":"b"\n,']) expect([text, isBeginning(text)]).toEqual([text, false]);
});

/** A vocabulary of every byte and of runs of white space. */
const RUNS = ['  ', '    ', '\n\n', '\r\n', '\t\t', ' \n', ',\n\n', '{\n', ' '.repeat(32)].map((run) =>
  Buffer.from(run),
);
const VOCABULARY = [...Array.from({ length: 256 }, (_, byte) => Buffer.of(byte)), ...RUNS];
const TOKENIZER = {
  vocabSize: VOCABULARY.length,
  endOfText: VOCABULARY.length,
  bytes: ([id]: readonly number[]) => VOCABULARY[id!]!,
} as unknown as Tokenizer;

it('ends an object of a sampler that prefers white space to anything else, with little of it', () => {
  for (const maxTokens of [2, 9, 60, 400])
    for (let seed = 0; seed < 20; seed++) {
      const random = new CounterRandom(seed, 'logits');
      const sampling = { temperature: 0, topK: null, topP: 1, repetitionPenalty: 1 };
      const options = { tokenizer: TOKENIZER, tokenIds: [], stops: [], ends: new Set<number>(), json: true };
      const draw = new TextDraw({ ...options, sampling, seed, maxTokens });
      let text = '';
      let drawn: Drawn;
      do {
        // Text within strings would soon end if it were as likely as white space.
        const logits = Float32Array.from(VOCABULARY, (bytes, id) =>
          /\s/.test(bytes.toString('latin1')) ? 9 + bytes.length : random.uniform(draw.numTokens * 999 + id),
        );
        drawn = draw.next(logits);
        text += drawn.text;
      } while (drawn.finishReason === null);
      expect([text, drawn.finishReason]).toEqual([text, 'stop']);
      expect(JSON.parse(text)).toEqual(expect.any(Object));
      // Strings may hold any number of spaces.
      const between = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
      expect(between).not.toMatch(/[\r\t]|\n\s*\n|\n {33}|[^\n ] {2}/);
    }
});

it('refuses bytes that are not UTF-8', () => {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0x70, max: 0xff }), { maxLength: 5 }), (bytes) => {
      const whole = Uint8Array.from([...Buffer.from('{"'), ...bytes, ...Buffer.from('":0}')]);
      let isText = true;
      try {
        utf8.decode(whole);
      } catch {
        isText = false;
      }
      expect(after(whole)?.place === 'done').toBe(isText);
    }),
    { numRuns: 5_000 },
  );
});

it('comes nearer to its end by one byte from any state, and by no byte faster', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 60 }), (draws) => {
      let state = JSON_START;
      for (const draw of draws) {
        const next = [...Array(256).keys()].flatMap((byte) => nextJson(state, byte) ?? []);
        const costs = next.map(bytesToEnd);
        if (state.place === 'done') expect(next).toEqual([]);
        else expect(Math.min(...costs)).toBe(bytesToEnd(state) - 1);
        if (next.length === 0) return;
        state = next[draw % next.length]!;
      }
    }),
    { numRuns: 300 },
  );
});
