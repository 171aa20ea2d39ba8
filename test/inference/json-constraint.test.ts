import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bytesToEnd, JSON_START, nextJson } from '../../src/inference/json-automaton.js';

/** The parser state after a text; null if the text is not a prefix of a JSON object. */
function after(bytes: Uint8Array) {
  return bytes.reduce<typeof JSON_START | null>((state, byte) => state && nextJson(state, byte), JSON_START);
}

/** Whether a text can be encoded in UTF-8, which a surrogate left alone by an edit cannot. */
const isText = (text: string) => Buffer.from(text).toString() === text;

it('takes what JSON.parse takes, to the byte where it ends, and nothing else', () => {
  const objects = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { maxKeys: 4 });
  const edit = fc.option(fc.tuple(fc.nat(), fc.constantFrom(...'{}[]",:\\0-.eE+ut\u0001\u00e9\u{1f642}')));
  let numWrong = 0;
  fc.assert(
    fc.property(objects, fc.constantFrom(0, 1, 4), edit, (object, indent, edited) => {
      // An edit of a line break would leave more white space than the grammar takes.
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

it('takes a space, or a line break with its indentation, but no more white space', () => {
  const isBeginning = (text: string) => after(Buffer.from(text)) !== null;
  for (const text of ['', '{', '{"a" :', '{"a": 1', '{"a": [', '{"a": 1,', '{"a": "  "']) {
    const depth = text.split(/[{[]/).length - 1;
    const most = `${text}\n${' '.repeat(4 * depth)}`;
    for (const taken of [' ', '\t', '\n', '\r'])
      expect([text, isBeginning(text + taken)]).toEqual([text, true]);
    expect([most, isBeginning(most)]).toEqual([most, true]);
    for (const more of [`${most} `, `${text}  `, `${text} \n`, `${text}\n\n`])
      expect([more, isBeginning(more)]).toEqual([more, false]);
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
