import { renameSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type LogRequest, type ResultLine, RunLogReader } from '../src/run-log-reader.js';
import { logLine, T0, TestRuns } from './support.js';

const ALL: LogRequest = { query: '', level: '', ranks: [], sinceMs: 0, before: 0, after: 0, follow: false };
const line = (atMs: number, rank: number, msg: string, level = 'info') =>
  logLine({ atMs, node: 0, rank, msg, level });

/** A reader of a log that collects its results. */
function readerOf(runs: TestRuns) {
  const shown: ResultLine[] = [];
  const gone = new AbortController();
  let complete = () => {};
  const completed = new Promise<void>((resolve) => {
    complete = resolve;
  });
  let numSeries = 0;
  const show = (request: Partial<LogRequest>) =>
    new RunLogReader(runs.folder('r1')).read(
      { ...ALL, ...request },
      {
        async lines(lines) {
          shown.push(...lines);
        },
        series({ series }) {
          numSeries += series.length;
        },
      },
      { signal: gone.signal, complete: completed },
    );
  /** Returns the messages shown, with ~ before context lines and | between groups. */
  const texts = () =>
    shown.map(({ text, isContext, group }, i) => {
      const apart = group !== 0 && i > 0 && shown[i - 1].group !== group ? '| ' : '';
      return `${apart}${isContext ? '~' : ''}${JSON.parse(text).msg}`;
    });
  const times = () => shown.map(({ timeMs }) => timeMs);
  return { show, texts, times, gone, complete: () => complete(), numSeries: () => numSeries };
}

function runsOfSix(): TestRuns {
  const runs = new TestRuns();
  runs.write('node-0', [
    line(0, 0, 'a0'),
    line(1, 1, 'b0'),
    line(2, 0, 'a1', 'warn'),
    line(3, 1, 'b1 bad', 'error'),
    line(4, 0, 'a2'),
    line(5, 1, 'b2'),
  ]);
  runs.write('coordinator', [logLine({ atMs: 6, rank: 1, level: 'error', msg: 'rank 1 died' })]);
  return runs;
}

it.each([
  ['| json | loss >', 'line 1, col 16'],
  ['|= "x"\n| json | loss >', 'line 2, col 16'],
  ['{rank="0"} | json | loss >', 'line 1, col 27'],
])('a mistake in %j has its place there', async (query, place) => {
  const { show } = readerOf(runsOfSix());
  await expect(show({ query })).rejects.toThrow(`parse error at ${place}: `);
});

it('lines of the coordinator are context of each other, whatever rank they are about', async () => {
  const runs = runsOfSix();
  runs.write('coordinator', [
    logLine({ atMs: 7, msg: 'run is failed', level: 'error' }),
    logLine({ atMs: 8, node: 0, rank: 0, msg: 'rank 0 left' }),
  ]);
  const { show, texts } = readerOf(runs);
  await show({ query: '|= "is failed"', before: 1, after: 1 });
  expect(texts()).toEqual(['~rank 1 died', 'run is failed', '~rank 0 left']);
});

describe('RunLogReader', () => {
  it.each<[Partial<LogRequest>, string[]]>([
    [{}, ['a0', 'b0', 'a1', 'b1 bad', 'a2', 'b2', 'rank 1 died']],
    [{ level: 'warn' }, ['a1', 'b1 bad', 'rank 1 died']],
    [{ ranks: [1] }, ['b0', 'b1 bad', 'b2', 'rank 1 died']],
    [{ ranks: [1], level: 'error' }, ['b1 bad', 'rank 1 died']],
    [{ sinceMs: T0 + 5 }, ['b2', 'rank 1 died']],
    [{ query: '{rank="0"} |= "a1"' }, ['a1']],
    [{ query: '|= "bad"' }, ['b1 bad']],
    [{ query: '!= "a" | level="error"', ranks: [1] }, []],
    [{ query: '{rank="0"}', ranks: [1] }, []],
  ])('shows %j', async (request, expected) => {
    const { show, texts } = readerOf(runsOfSix());
    await show(request);
    expect(texts()).toEqual(expected);
  });

  it.each<[Partial<LogRequest>, string[]]>([
    [{ query: '|= "bad"', before: 1, after: 1 }, ['~b0', 'b1 bad', '~b2']],
    [{ query: '|= "bad"', before: 1 }, ['~b0', 'b1 bad']],
    [{ query: '|= "bad"', after: 5 }, ['b1 bad', '~b2']],
    [{ query: '{level=~"warn|error"}', before: 1 }, ['~a0', 'a1', '| ~b0', 'b1 bad', '| rank 1 died']],
    [{ query: '|~ "[ab]0"', before: 1, after: 1 }, ['a0', '~a1', '| b0', '~b1 bad']],
    // A line before `since` cannot match, but can be context.
    [{ query: '|~ "b"', ranks: [1], sinceMs: T0 + 5, before: 1 }, ['~b1 bad', 'b2']],
  ])('shows lines of the same source around matches: %j', async (request, expected) => {
    const { show, texts } = readerOf(runsOfSix());
    await show(request);
    expect(texts()).toEqual(expected);
  });

  it('joins groups that touch each other, and parts those that do not', async () => {
    const runs = new TestRuns();
    runs.write(
      'node-0',
      Array.from({ length: 20 }, (_, i) => line(i, 0, [2, 5, 15].includes(i) ? `hit${i}` : `x${i}`)),
    );
    const { show, texts } = readerOf(runs);
    await show({ query: '|= "hit"', before: 1, after: 1 });
    expect(texts()).toEqual(['~x1', 'hit2', '~x3', '~x4', 'hit5', '~x6', '| ~x14', 'hit15', '~x16']);
  });

  it('follows without a gap, and gives the rest once the log is complete', async () => {
    const runs = runsOfSix();
    const { show, texts, complete } = readerOf(runs);
    const following = show({ query: '|= "bad"', follow: true });
    await expect.poll(texts).toEqual(['b1 bad']);
    runs.write('node-0', [line(7, 0, 'good'), line(8, 0, 'a3 bad')]);
    runs.write('node-1', [logLine({ atMs: 9, node: 1, rank: 2, msg: 'c0 bad' })]);
    await expect.poll(texts).toEqual(['b1 bad', 'a3 bad', 'c0 bad']);
    runs.write('node-0', [line(10, 0, 'last bad')]);
    complete();
    await following;
    expect(texts()).toEqual(['b1 bad', 'a3 bad', 'c0 bad', 'last bad']);
  });

  it('follows foreign lines at the time of the record before them, and into no part of a line of a file that was replaced', async () => {
    const runs = runsOfSix();
    const { show, times, texts, gone } = readerOf(runs);
    const following = show({ query: '{node="0"} |= "b2"', follow: true });
    await expect.poll(texts).toEqual(['b2']);
    runs.write('node-0', ['{"msg":"b2 of a native library"}']);
    await expect.poll(times).toEqual([T0 + 5, T0 + 5]);
    const replaced = `${runs.file('node-0')}.new`;
    const lines = Array.from({ length: 20 }, (_, i) => line(i, 0, `b2 ${'x'.repeat(i)}`));
    writeFileSync(replaced, lines.map((each) => `${each}\n`).join(''));
    renameSync(replaced, runs.file('node-0'));
    await expect.poll(() => times().at(-1)).toBe(T0 + 19);
    gone.abort();
    await following;
    expect(texts().filter((text) => !text.startsWith('b2'))).toEqual([]);
  });

  it('follows with context, and shows a match at once', async () => {
    const runs = runsOfSix();
    const { show, texts, gone } = readerOf(runs);
    const following = show({ query: '|= "bad"', before: 1, after: 2, follow: true });
    await expect.poll(texts).toEqual(['~b0', 'b1 bad', '~b2']);
    runs.write('node-0', [line(7, 1, 'b3'), line(8, 1, 'b4'), line(9, 1, 'b5 bad')]);
    await expect.poll(texts).toEqual(['~b0', 'b1 bad', '~b2', '~b3', '~b4', 'b5 bad']);
    gone.abort();
    await following;
  });

  it('evaluates metric queries, which cannot be followed', async () => {
    const { show, numSeries } = readerOf(runsOfSix());
    await show({ query: 'sum by (level) (count_over_time({source="worker"}[1m]))' });
    expect(numSeries()).toBe(3);
    await expect(show({ query: 'vector(1)', follow: true })).rejects.toThrow('cannot be followed');
  });

  it('refuses an invalid level and an invalid query', async () => {
    const { show } = readerOf(runsOfSix());
    await expect(show({ level: 'loud' })).rejects.toThrow('level: loud is none of trace');
    await expect(show({ query: '{a=' })).rejects.toThrow('parse error at line 1, col 4');
  });
});
