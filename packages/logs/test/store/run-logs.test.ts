import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LogStore } from '../../src/log-store.js';
import { LogEngine } from '../../src/logql/log-engine.js';
import { evaluate, gridOf, logLine, messages, rangeOf, select, T0, TestRuns } from '../support.js';

const RUN = '{run="r1"}';

describe('reading a run', () => {
  it('orders lines that came out of order, across files and inside of one', async () => {
    const runs = new TestRuns();
    runs.write(
      'node-0',
      [3, 1, 2, 9, 7].map((atMs) => logLine({ atMs, node: 0, rank: 0, msg: `a${atMs}` })),
    );
    runs.write(
      'node-1',
      [2, 8, 0].map((atMs) => logLine({ atMs, node: 1, rank: 1, msg: `b${atMs}` })),
    );
    const engine = new LogEngine(runs.catalog);
    const inOrder = ['b0', 'a1', 'a2', 'b2', 'a3', 'a7', 'b8', 'a9'];
    expect(await messages(engine, RUN)).toEqual(inOrder);
    expect(await messages(engine, RUN, { direction: 'backward' })).toEqual(inOrder.toReversed());
    expect(await messages(engine, RUN, { direction: 'backward', limit: 3 })).toEqual(['a9', 'b8', 'a7']);
  });

  it('orders lines that are late by many blocks', async () => {
    const runs = new TestRuns();
    const numLines = 5_000;
    // A line in a hundred comes 1,500 lines late.
    const times = Array.from({ length: numLines }, (_, i) => (i % 100 === 0 ? i - 1500 : i));
    runs.write(
      'node-0',
      times.map((atMs) => logLine({ atMs, node: 0, rank: 0, msg: String(atMs) })),
    );
    const engine = new LogEngine(runs.catalog);
    const sorted = times.toSorted((a, b) => a - b).map(String);
    expect(await messages(engine, RUN)).toEqual(sorted);
    expect(await messages(engine, RUN, { direction: 'backward', limit: 3_000 })).toEqual(
      sorted.toReversed().slice(0, 3_000),
    );
  });

  it('includes the start of a range and not its end', async () => {
    const runs = new TestRuns();
    runs.write(
      'node-0',
      [1, 2, 3, 4].map((atMs) => logLine({ atMs, msg: String(atMs) })),
    );
    const engine = new LogEngine(runs.catalog);
    expect(await messages(engine, RUN, { range: rangeOf(2, 4) })).toEqual(['2', '3']);
  });

  it('labels a stream by who writes it', async () => {
    const runs = new TestRuns();
    runs.write('coordinator', [logLine({ msg: 'c' }), logLine({ node: 0, rank: 3, msg: 'rank 3 died' })]);
    runs.write('node-0', [
      logLine({ node: 0, msg: 'n' }),
      logLine({ node: 0, rank: 1, level: 'error', generation: 2, msg: 'w' }),
      // The order of fields does not matter.
      JSON.stringify({ msg: 'odd', rank: 2, time: T0, level: 'debug' }),
    ]);
    const engine = new LogEngine(runs.catalog);
    const of = (selector: string) => messages(engine, `{service_name="locmoe", ${selector}}`);
    expect(await of('source="coordinator"')).toEqual(['c', 'rank 3 died']);
    expect(await of('source="node"')).toEqual(['n']);
    expect(await of('source="worker"')).toEqual(['w', 'odd']);
    expect(await of('rank="3"')).toEqual(['rank 3 died']);
    expect(await of('node="0", rank="2", level="debug"')).toEqual(['odd']);
    expect(await of('generation="2"')).toEqual(['w']);
    expect(await of('generation!~".+"')).toEqual(['odd']);
  });

  it('keeps what is no line of ours as a warning with the time of the line before', async () => {
    const runs = new TestRuns();
    const crash = 'terminate called after throwing an instance of std::bad_alloc';
    runs.write('node-0', [
      'first of all',
      logLine({ atMs: 5, node: 0, msg: 'a' }),
      crash,
      '{"level":"info","time":17000000',
      logLine({ atMs: 9, node: 0, msg: 'b' }),
    ]);
    const engine = new LogEngine(runs.catalog);
    const foreign = `{run="r1", node="0", level="warn"}`;
    expect(await select(engine, foreign, { range: rangeOf(5, 6) })).toEqual([
      'first of all',
      crash,
      '{"level":"info","time":17000000',
    ]);
    expect(await select(engine, `${foreign} |= "bad_alloc"`)).toEqual([crash]);
    expect(
      await evaluate(engine, 'sum by (level) (count_over_time({run="r1"}[1s]))', gridOf(1, 1, 1)),
    ).toEqual({ 'level=warn': [3], 'level=info': [2] });
  });

  it('waits for the rest of a torn last line', async () => {
    const runs = new TestRuns();
    runs.write('node-0', [logLine({ msg: 'a' })]);
    const engine = new LogEngine(runs.catalog);
    const [head, tail] = [
      logLine({ atMs: 1, msg: 'b' }).slice(0, 30),
      logLine({ atMs: 1, msg: 'b' }).slice(30),
    ];
    appendFileSync(runs.file('node-0'), head);
    expect(await messages(engine, RUN)).toEqual(['a']);
    appendFileSync(runs.file('node-0'), `${tail}\n`);
    expect(await messages(engine, RUN)).toEqual(['a', 'b']);
  });

  it('goes on behind a line that a kill cut short', async () => {
    const runs = new TestRuns();
    runs.write('node-0', [logLine({ msg: 'a' })]);
    appendFileSync(runs.file('node-0'), '{"level":"info","ti');
    const engine = new LogEngine(runs.catalog);
    expect(await messages(engine, RUN)).toEqual(['a']);
    const store = new LogStore(runs.folder('r1').directory, (error) => {
      throw error;
    });
    store.append('node-0', logLine({ atMs: 3, msg: 'after' }));
    store.close();
    expect(await select(engine, `${RUN} |= ""`)).toEqual([
      logLine({ msg: 'a' }),
      '{"level":"info","ti',
      logLine({ atMs: 3, msg: 'after' }),
    ]);
  });

  it('sees what another process appends', async () => {
    const runs = new TestRuns();
    runs.write('node-0', [logLine({ msg: 'a' })]);
    const engine = new LogEngine(runs.catalog);
    expect(await messages(engine, RUN)).toEqual(['a']);
    const script = `require('fs').appendFileSync(process.argv[1], process.argv[2] + '\\n')`;
    const child = spawn(process.execPath, [
      '-e',
      script,
      runs.file('node-0'),
      logLine({ atMs: 1, msg: 'b' }),
    ]);
    await once(child, 'exit');
    expect(await messages(engine, RUN)).toEqual(['a', 'b']);
  });

  it('reads a file anew that was replaced, and forgets one that is gone', async () => {
    const runs = new TestRuns();
    runs.write(
      'node-0',
      Array.from({ length: 50 }, () => logLine({ msg: 'old' })),
    );
    const engine = new LogEngine(runs.catalog);
    expect(await messages(engine, RUN)).toHaveLength(50);
    writeFileSync(runs.file('node-0'), `${logLine({ msg: 'new' })}\n`);
    expect(await messages(engine, RUN)).toEqual(['new']);
    rmSync(runs.file('node-0'));
    expect(await messages(engine, RUN)).toEqual([]);
  });

  it('reads lines of a megabyte', async () => {
    const runs = new TestRuns();
    const long = 'x'.repeat(3 << 20);
    runs.write('node-0', [logLine({ msg: long }), logLine({ atMs: 1, msg: 'short' })]);
    const engine = new LogEngine(runs.catalog);
    expect((await messages(engine, RUN)).map(({ length }) => length)).toEqual([long.length, 5]);
    expect(await messages(engine, `${RUN} |= "short"`)).toEqual(['short']);
  });
});
