import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js';
import { TextStream } from '../../src/inference/text-stream.js';

/** Each byte is a token. */
const bytes: Pick<Tokenizer, 'bytes'> = { bytes: (ids) => Uint8Array.from(ids) };

function stream(text: string | Uint8Array, stops: readonly string[]) {
  const stream = new TextStream(bytes as Tokenizer, stops);
  const pieces: string[] = [];
  for (const byte of Buffer.from(text)) {
    pieces.push(stream.push(byte));
    if (stream.stopped) break;
  }
  return { pieces: [...pieces, stream.end()], stopped: stream.stopped };
}

describe('TextStream', () => {
  it('gives whole characters as soon as they are there', () => {
    expect(stream('aé𠀀', []).pieces).toEqual(['a', '', 'é', '', '', '', '𠀀', '']);
  });

  it('gives a replacement character for what is not UTF-8 or was cut', () => {
    expect(stream(Uint8Array.of(0x61, 0xff, 0x62, 0xe4, 0xb8), []).pieces.join('')).toBe('a\ufffdb\ufffd');
  });

  it('ends in front of a stop text and shows nothing of it', () => {
    const { pieces, stopped } = stream('one END. two', ['END.', 'x']);
    expect(pieces).toEqual(['o', 'n', 'e', ' ', '', '', '', '', '']);
    expect(stopped).toBe(true);
  });

  it('gives what only looked like a stop text', () => {
    expect(stream('ENDE', ['END.']).pieces).toEqual(['', '', '', 'END', 'E']);
    expect(stream('aab', ['ab', 'b']).pieces.join('')).toBe('a');
  });

  it('gives the text in front of the first stop text, whatever the two are', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '𠀀'), maxLength: 12 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'é'), maxLength: 3 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(word, stops, (text, stopTexts) => {
        const { pieces, stopped } = stream(text, stopTexts);
        // The text ends at the stop text that is complete first; of several complete at once, at the one that begins
        // first.
        const ends = stopTexts.filter((stop) => stop !== '' && text.includes(stop));
        const firstEnd = Math.min(...ends.map((stop) => text.indexOf(stop) + stop.length));
        const seen = text.slice(0, firstEnd);
        const cut = Math.min(...ends.map((stop) => seen.indexOf(stop)).filter((index) => index >= 0));
        expect(stopped).toBe(ends.length > 0);
        expect(pieces.join('')).toBe(ends.length > 0 ? text.slice(0, cut) : text);
      }),
    );
  });
});
