import { rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TimelineReply } from '../src/api-types.js';
import { laneOf, layoutOf, spanAt } from '../src/browser/timeline/layout.js';
import { formatTick, showing, ticksOf, within, zoomed } from '../src/browser/timeline/time-window.js';
import { pageFeature } from '../src/page-feature.js';
import { STARTED_AT, temporaryRuns, writeRun } from './run-fixture.js';
import { writeTraces } from './trace-fixture.js';

async function replyOf(query = ''): Promise<TimelineReply> {
  const runs = temporaryRuns();
  const folder = writeRun(runs, 'run');
  writeTraces(folder, { numNodes: 2, workersPerNode: 2, steps: [4, 5, 6], slowRank: 3 });
  writeTraces(folder, { numNodes: 2, workersPerNode: 2, steps: [6, 7], slowRank: 0, generation: 2 });
  const { routes } = pageFeature(runs);
  return (
    await routes.request(`http://localhost/api/runs/run/timeline${query}`)
  ).json() as Promise<TimelineReply>;
}

describe('the timeline of a step over HTTP', () => {
  it('is that of the last step, or the one that is asked for, of the newest generation', async () => {
    const reply = await replyOf();
    expect(reply).toMatchObject({ step: 7, generation: 2, startMs: STARTED_AT + 700, endMs: 95 });
    expect(reply.kept).toEqual([
      { generation: 1, first: 4, last: 6, complete: 6 },
      { generation: 2, first: 6, last: 7, complete: 7 },
    ]);
    expect(reply.lanes.map(({ rank, node }) => [rank, node])).toEqual([
      [0, 0],
      [1, 0],
      [2, 1],
      [3, 1],
    ]);
    expect(await replyOf('?step=6')).toMatchObject({ step: 6, generation: 2 });
    expect(await replyOf('?generation=1')).toMatchObject({ step: 6, generation: 1 });
    const old = await replyOf('?step=6&generation=1');
    const dispatch = old.lanes[1].spans.find(({ name }) => name === 'dispatch');
    expect(dispatch).toMatchObject({ startMs: 10.25, endMs: 32 });
    expect(dispatch?.operation?.wait).toEqual({ startMs: 11.25, endMs: 30.5, rank: 3, rankStartMs: 30 });
    expect(old.lanes[1].inFlight).toMatchObject([{ name: 'gradients', startMs: 60, endMs: 80 }]);
  });

  it('says in one line what is not there', async () => {
    expect(await replyOf('?step=9')).toEqual({
      error: expect.stringMatching(/step 9 is not kept: there are steps 4/),
    });
    const runs = temporaryRuns();
    const folder = writeRun(runs, 'old');
    rmSync(path.join(folder, 'trace'), { recursive: true, force: true });
    const { routes } = pageFeature(runs);
    const ask = (id: string) => routes.request(`http://localhost/api/runs/${id}/timeline`);
    expect((await ask('old')).status).toBe(404);
    expect(await (await ask('old')).json()).toEqual({ error: expect.stringMatching(/no traces here/) });
    expect(await (await ask('none')).json()).toEqual({ error: 'no run none' });
  });
});

describe('the lanes of a timeline', () => {
  it('are grouped by node, with a row for each depth, and found again by place', async () => {
    const { lanes, endMs } = await replyOf();
    const layout = layoutOf(lanes, endMs, false);
    expect(layout.nodes.map(({ node }) => node)).toEqual([0, 1]);
    expect(layout.nodes[1].top).toBeGreaterThan(layout.lanes[1].top);
    const [, lane] = layout.lanes;
    const placed = (name: string) => lane.spans.find(({ span }) => span.name === name)!;
    const tops = ['step', 'forward', 'attention', 'dispatch', 'gradients'].map((name) => placed(name).top);
    expect(tops).toEqual([...new Set(tops)].sort((a, b) => a - b));
    for (const name of ['forward', 'dispatch', 'gradients']) {
      const { span, top, height } = placed(name);
      const found = spanAt(layout, lane.top + top + height / 2, (span.startMs + span.endMs) / 2, 0.1);
      expect(found?.span).toBe(span);
      expect(laneOf(layout, span)).toBe(lane);
    }
    expect(spanAt(layout, layout.nodes[0].top, 50, 0.1)).toBeNull();
    expect(lane.waitMs).toBeCloseTo(19.25);
    // Waits after the step, such as in a validation, do not count.
    expect(layoutOf(lanes, 0.1, false).lanes[1].waitMs).toBeLessThanOrEqual(0.1);
  });

  it('in one row show the innermost span, and label none that is covered', async () => {
    const { lanes, endMs } = await replyOf();
    const layout = layoutOf(lanes, endMs, true);
    const [, lane] = layout.lanes;
    expect(spanAt(layout, lane.top + 5, 20, 0.1)?.span.name).toBe('dispatch');
    expect(lane.spans.filter(({ hasLabel }) => hasLabel).map(({ span }) => span.name)).not.toContain(
      'forward',
    );
    expect(layout.height).toBeLessThan(layoutOf(lanes, endMs, false).height / 2);
  });
});

describe('the window of a timeline', () => {
  const all = { from: -10, to: 110 };

  it('zooms about a time and never leaves the whole', () => {
    expect(zoomed({ from: 0, to: 100 }, 25, 0.5, all)).toEqual({ from: 12.5, to: 62.5 });
    expect(zoomed({ from: 0, to: 100 }, 25, 10, all)).toEqual(all);
    expect(within({ from: 90, to: 140 }, all)).toEqual({ from: 60, to: 110 });
    const { from, to } = zoomed({ from: 0, to: 0.03 }, 0.01, 0.001, all);
    expect(to - from).toBeCloseTo(0.02);
  });

  it('moves to a span that is not seen', () => {
    expect(showing({ from: 0, to: 20 }, 5, 10, all)).toEqual({ from: 0, to: 20 });
    expect(showing({ from: 0, to: 20 }, 60, 70, all)).toEqual({ from: 55, to: 75 });
  });

  it('has round ticks', () => {
    const { at, step } = ticksOf({ from: 1, to: 9.5 }, 5);
    expect(at).toEqual([2, 4, 6, 8]);
    expect(at.map((ms) => formatTick(ms, step))).toEqual(['2 ms', '4 ms', '6 ms', '8 ms']);
    expect(formatTick(0, 1)).toBe('0');
    expect(formatTick(0.25, 0.05)).toBe('0.25 ms');
    expect(formatTick(1_500, 500)).toBe('1.5 s');
  });
});
