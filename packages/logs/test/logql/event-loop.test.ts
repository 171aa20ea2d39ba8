import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../../../../test/nightly.js';
import { LogEngine } from '../../src/logql/log-engine.js';
import { take } from '../../src/logql/log-entries.js';
import { parseLogQuery } from '../../src/logql/parse.js';
import { logLine, randomNumbers, rangeOf, TestRuns } from '../support.js';

/**
 * Limit of a query. The queries would take longer, and one that does not yield blocks the event loop until the limit.
 */
const LIMIT_MS = 500;

/** The longest processor time, in ms, between two turns of the event loop during the work. */
async function longestTurnMs(work: Promise<unknown>): Promise<number> {
  let isOver = false;
  const end = () => {
    isOver = true;
  };
  work.then(end, end);
  let longest = 0;
  while (!isOver) {
    const before = process.cpuUsage();
    await nextTurn();
    longest = Math.max(longest, process.cpuUsage(before).user / 1000);
  }
  return longest;
}

const random = randomNumbers(5);
const letters = (length: number) =>
  Array.from({ length }, () => 'abcdefgh'[Math.floor(random() * 8)]).join('');

/** Alternatives of some 36 instructions each; nearly every character leads to a new state of the automaton. */
const branches = (first: number, count = 100) =>
  Array.from({ length: count }, (_, i) => `${'abcdefgh'[i % 8]}.{${first + (i % 7)}}[P-Z]`).join('|');

/** Pipelines and the length of their lines. The first three take different paths through the engine. */
const COSTLY: readonly (readonly [name: string, pipeline: string, length: number])[] = [
  ['one filter, a block of short lines', `|~ "${branches(30)}"`, 300],
  ['a label', `| json | msg !~ ".*(${branches(30)})"`, 2_400],
  [
    'a template that replaces',
    `| line_format \`{{ regexReplaceAll "(${branches(30, 20)})" __line__ "$1" }}\` != "a"`,
    2_000,
  ],
  ['one filter, lines just not too long', `|~ "${branches(30)}"`, 2_400],
  [
    'many filters',
    Array.from({ length: 100 }, (_, i) => `!~ "[abc].{${30 + (i % 7)}}[P-Z]"`).join(' '),
    2_000,
  ],
  ['groups', `| regexp "(?P<x>${branches(30, 20)})" | x != ""`, 2_300],
  ['addresses', '|= ip("10.0.0.0/8") or ip("2001:db8::/32")', 2_400],
];

it.each(NIGHTLY ? COSTLY : COSTLY.slice(0, 3))(
  'the event loop runs on during costly queries: %s',
  async (_, pipeline, length) => {
    const runs = new TestRuns();
    const lines = Math.ceil((1 << 18) / length);
    runs.write(
      'node-0',
      Array.from({ length: lines }, () => logLine({ msg: letters(length) })),
    );
    const engine = new LogEngine(runs.catalog);
    const query = parseLogQuery(`{run="r1"} ${pipeline}`);
    const queryOnce = () =>
      take(engine.lines(query, rangeOf(-1e9, 1e9), 'forward', { limitMs: LIMIT_MS }), 1_000).catch(
        (error: Error) => expect(error.message).toMatch('the query took longer than 0.5 s'),
      );
    const work = Promise.all(Array.from({ length: 4 }, queryOnce));
    expect(await longestTurnMs(work)).toBeLessThan(0.7 * LIMIT_MS);
    await work;
  },
);

it('expressions that are large together only are refused', () => {
  const query = `{run="r1"} ${'|~ "a{1000}" '.repeat(25)}`;
  expect(() => parseLogQuery(query)).toThrow('expression too large');
});
