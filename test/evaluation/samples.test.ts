import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_SMALL_DISK, smallDisk } from '../../packages/logs/test/small-disk.js';
import { compareSamples } from '../../src/evaluation/compare.js';
import { checkPlace, readSamples, sampleLine, writeSamples } from '../../src/evaluation/samples.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-samples-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

interface Given {
  readonly id?: number;
  readonly filter?: string;
  readonly prompt?: string;
  readonly metrics: Readonly<Record<string, number>>;
}
function line({ id = 0, filter = 'letter', prompt = 'Q', metrics }: Given): string {
  return sampleLine({
    docId: id,
    doc: { question: `猫 ${id}`, n: id },
    answer: 1,
    filter,
    metrics,
    more: { subject: 's' },
    requests: [
      [prompt, ' A'],
      [prompt, ' B'],
    ],
    logLikelihoods: [
      { sum: -1.5, isGreedy: true },
      { sum: -2.25, isGreedy: false },
    ],
  });
}

function file(name: string, lines: readonly string[]): string {
  const place = path.join(folder, name);
  writeSamples(place, lines);
  return place;
}

describe('a samples file', () => {
  it("has lm-evaluation-harness' fields and hashes", () => {
    const place = file('one.jsonl', [line({ id: 7, metrics: { acc: 0, acc_norm: 1 } })]);
    const fields = JSON.parse(readFileSync(place, 'utf8'));
    expect(fields).toEqual({
      doc_id: 7,
      doc: { question: '猫 7', n: 7 },
      target: '1',
      arguments: { gen_args_0: { arg_0: 'Q', arg_1: ' A' }, gen_args_1: { arg_0: 'Q', arg_1: ' B' } },
      resps: [[['-1.5', 'True']], [['-2.25', 'False']]],
      filtered_resps: [
        ['-1.5', 'True'],
        ['-2.25', 'False'],
      ],
      filter: 'letter',
      metrics: ['acc', 'acc_norm'],
      // json.dumps(doc, indent=2, ensure_ascii=False)
      doc_hash: sha256('{\n  "question": "猫 7",\n  "n": 7\n}'),
      prompt_hash: sha256('Q'),
      target_hash: sha256('1'),
      acc: 0,
      acc_norm: 1,
      subject: 's',
    });
    expect(readSamples(place)[0].metrics).toEqual(
      new Map([
        ['acc', 0],
        ['acc_norm', 1],
      ]),
    );
  });

  it('is written as a whole, or not at all', () => {
    const refused = (act: () => void) =>
      expect(act).toThrow(
        expect.objectContaining({ code: 'NO_RESOURCE', message: expect.stringMatching(/^--samples /) }),
      );
    refused(() => checkPlace(folder));
    refused(() => checkPlace(path.join(folder, 'no/such/file')));
    refused(() => checkPlace('/dev/null'));
    checkPlace(path.join(folder, 'new.jsonl'));
    const before = readdirSync(folder);
    refused(() =>
      writeSamples(
        path.join(folder, 'new.jsonl'),
        (function* () {
          yield 'one line';
          throw new Error('and no more');
        })(),
      ),
    );
    expect(readdirSync(folder)).toEqual(before);
  });

  it('is not cut where a disk ends', ({ skip }) => {
    const disk = smallDisk(1 << 20) ?? skip(NO_SMALL_DISK);
    const line = 'x'.repeat(2 << 20);
    expect(() => writeSamples(path.join(disk, 'one.jsonl'), [line])).toThrow(/^--samples .*ENOSPC/);
    expect(readdirSync(disk)).toEqual([]);
  });
});

describe('compareSamples', () => {
  const answers = (name: string, rights: string, more: Partial<Given> = {}) =>
    file(
      name,
      [...rights].map((right, id) => line({ id, metrics: { acc: Number(right) }, ...more })),
    );

  it('counts what one alone has right, and gives an interval', () => {
    const a = answers('a', '1110000100');
    const b = answers('b', '1101111110');
    const { metrics, unpaired, otherPrompts } = compareSamples(a, b, 1);
    expect(metrics).toHaveLength(1);
    expect(metrics[0]).toMatchObject({ filter: 'letter', metric: 'acc', n: 10, onlyA: 1, onlyB: 5 });
    const { a: shareA, b: shareB, difference, interval, pValue } = metrics[0];
    expect([shareA, shareB, difference].map((share) => share.toFixed(6))).toEqual([
      '0.400000',
      '0.800000',
      '0.400000',
    ]);
    expect(pValue).toBeCloseTo(14 / 64, 12);
    expect(interval.low).toBeLessThan(0.1);
    expect(interval.high).toBeGreaterThan(0.6);
    expect([unpaired, otherPrompts]).toEqual([{ a: 0, b: 0 }, 0]);
  });

  it('pairs by question, not by place, and tells of what is left over', () => {
    const lines = ['10', '01', '11'].map((_, id) => line({ id, metrics: { acc: id % 2 }, prompt: `P${id}` }));
    const a = file('some', [lines[2], lines[0], line({ id: 9, metrics: { acc: 1 } })]);
    const b = file('others', [...lines, line({ id: 0, metrics: { acc: 1 }, prompt: 'twice' })]);
    const { metrics, unpaired, otherPrompts } = compareSamples(a, b, 1);
    expect(metrics[0]).toMatchObject({ n: 2, onlyA: 0, onlyB: 0 });
    expect([unpaired, otherPrompts]).toEqual([{ a: 1, b: 2 }, 0]);
    expect(compareSamples(a, answers('prompts', '000'), 1).otherPrompts).toBe(2);
  });

  it('refuses in one line what cannot be compared', () => {
    const good = answers('good', '101');
    const refused = (other: string, message: RegExp) => {
      const error = (() => {
        try {
          return compareSamples(good, other, 1);
        } catch (thrown) {
          return thrown;
        }
      })();
      expect(error).toMatchObject({ code: 'BAD_INPUT', message: expect.stringMatching(message) });
    };
    const written = (name: string, text: string) => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    refused(
      answers('other', '101', { filter: 'continuation' }),
      /have no question in common .*\(letter; continuation\)/,
    );
    refused(
      file(
        'loss',
        ['0', '1', '2'].map((_, id) => line({ id, metrics: { perplexity: 7.5 } })),
      ),
      /no measure in common/,
    );
    refused(written('text', `${line({ metrics: { acc: 1 } })}\nnonsense\n`), /text:2 is no JSON/);
    refused(written('json', '{"question": "q"}\n'), /json:1 has no text in "doc_hash"/);
    refused(written('void', ''), /void is empty/);
    refused(folder, /is a folder/);
    refused('/dev/zero', /is no regular file but a device/);
  });
});
