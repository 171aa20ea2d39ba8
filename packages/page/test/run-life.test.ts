import { describe, expect, it } from 'vitest';
import type { GenerationPoint, RunDetail } from '../src/api-types.js';
import { Contact } from '../src/browser/contact.js';
import { generationMarks, generationSpans, timesOf } from '../src/browser/overview/generation-spans.js';
import { statusOf } from '../src/browser/run-status.js';

describe('the contact with the server', () => {
  function contactAt(time: { now: number }) {
    return new Contact(() => time.now);
  }

  it('is lost once requests have been refused for some seconds, and is there again with the first answer', () => {
    const time = { now: 1_000 };
    const contact = contactAt(time);
    const refuse = () => {
      contact.asked();
      contact.refused();
      return contact.state;
    };
    contact.asked();
    time.now = 1_500;
    contact.answered();
    expect(refuse()).toBe('ok');
    time.now = 5_400;
    expect(refuse()).toBe('ok');
    time.now = 5_500;
    expect([refuse(), contact.lastHeardAt]).toEqual(['gone', 1_500]);
    contact.asked();
    contact.answered();
    expect([contact.state, contact.lastHeardAt]).toEqual(['ok', 5_500]);
  });

  it('is lost later if requests are taken, but not answered', () => {
    const time = { now: 0 };
    const contact = contactAt(time);
    contact.asked();
    time.now = 6_000;
    contact.asked();
    time.now = 11_900;
    expect(contact.state).toBe('ok');
    time.now = 12_000;
    expect(contact.state).toBe('silent');
    // One of the two requests is answered, the other is still open.
    contact.answered();
    expect(contact.state).toBe('ok');
    time.now = 24_000;
    expect(contact.state).toBe('silent');
    contact.dropped();
    expect(contact.state).toBe('ok');
  });
});

describe('the state that is shown of a run', () => {
  const run = (state: string, more: Partial<RunDetail> = {}) => ({
    state,
    isLive: !['failed', 'finished', 'dead'].includes(state),
    generation: 1,
    generations: [],
    notRecordingSince: null,
    ...more,
  });

  it('is never live without contact, nor good while nothing is recorded, but stays as it ended', () => {
    const live = { isLive: true, isTraining: false, ending: null };
    expect(statusOf(run('running'), 'ok')).toEqual({
      ...live,
      kind: 'running',
      word: 'running',
      isTraining: true,
    });
    for (const state of ['waiting', 'starting', 'restarting'])
      expect(statusOf(run(state), 'ok')).toMatchObject(live);
    const since = new Date(2026, 0, 2, 3, 4, 5).getTime();
    expect(statusOf(run('running', { notRecordingSince: since }), 'ok')).toEqual({
      ...live,
      kind: 'not-recording',
      word: 'not recording since 03:04:05',
    });
    for (const contact of ['silent', 'gone'] as const)
      expect(statusOf(run('restarting', { generation: 2 }), contact)).toEqual({
        ...live,
        kind: 'no-contact',
        word: 'no contact',
        isLive: false,
        ending: 'no-contact',
      });
    expect(statusOf(run('failed', { generation: 2 }), 'gone')).toMatchObject({
      word: 'failed · generation 2',
      ending: 'failed',
    });
    expect(statusOf(run('dead'), 'ok')).toMatchObject({ word: 'coordinator gone', ending: 'dead' });
  });

  it('tells a run that was stopped from one that is done', () => {
    const ended = (end: 'stopped' | 'finished') =>
      statusOf(run('finished', { generations: [generation({ end })] }), 'ok').word;
    expect([ended('stopped'), ended('finished')]).toEqual(['stopped', 'finished']);
  });
});

const generation = (more: Partial<RunDetail['generations'][number]>): RunDetail['generations'][number] => ({
  generation: 1,
  from: { kind: 'nothing', step: 0 },
  nodes: 1,
  workersPerNode: 1,
  beganAtMs: 0,
  trainedAtMs: null,
  endedAtMs: null,
  lastStep: null,
  end: 'open',
  failure: null,
  recovery: null,
  bill: null,
  ...more,
});
const point = (
  number: number,
  time: number,
  resumedFrom: number | null,
  lastTime: number,
): GenerationPoint => ({
  generation: number,
  time,
  resumedFrom,
  lastTime,
});

describe('the generations of a run over time', () => {
  /** The first failed, the coordinator of the second was killed, the third goes on. */
  const journal = [
    generation({ beganAtMs: 1_000, trainedAtMs: 3_000, endedAtMs: 60_000, end: 'failed' }),
    generation({
      generation: 2,
      from: { kind: 'checkpoint', step: 40 },
      beganAtMs: 100_000,
      trainedAtMs: 102_000,
      end: 'lost',
    }),
    generation({
      generation: 3,
      from: { kind: 'checkpoint', step: 30 },
      beganAtMs: 200_000,
      trainedAtMs: 203_000,
    }),
  ];
  const points = [
    point(1, 1_010, null, 59_000),
    point(2, 100_010, 40, 150_000),
    point(3, 200_010, 30, 210_000),
  ];
  const known = (isLive: boolean) => ({
    detail: { isLive, endedAt: isLive ? null : 260_000, generations: journal },
    metrics: { generations: points },
  });

  it('begin and end by the journal, and without a word there by the last record', () => {
    const spans = generationSpans(known(true));
    expect(spans.map(({ beganAt, endedAt }) => [beganAt, endedAt])).toEqual([
      [1_000, 60_000],
      [100_000, 150_000],
      [200_000, null],
    ]);
    const detail = { startedAt: new Date(1_000).toISOString(), endedAt: null };
    const run = { detail, generationSpans: spans };
    expect(timesOf(run, 230_000)).toEqual({ totalMs: 229_000, runningMs: 59_000 + 50_000 + 30_000 });
    // The list of runs shows the duration of a run that is over.
    const over = { ...run, detail: { ...detail, endedAt: 231_000 } };
    expect(timesOf(over, 999_000).totalMs).toBe(230_000);
    expect(generationSpans(known(false)).at(-1)?.endedAt).toBe(260_000);
  });

  it('are known from the metrics of a run without a journal', () => {
    const spans = generationSpans({ ...known(true), detail: null });
    expect(spans.map(({ generation: number, fromStep }) => [number, fromStep])).toEqual([
      [1, 0],
      [2, 40],
      [3, 30],
    ]);
    expect(timesOf({ detail: null, generationSpans: [] }, 5)).toEqual({ totalMs: 0, runningMs: 0 });
  });

  it('lie on the axes of the charts: by time with pauses, by step without what was done again', () => {
    const spans = generationSpans(known(true));
    const seconds = (time: number) => (time - 1_000) / 1e3;
    expect(generationMarks(spans, 'time', seconds)).toEqual({
      generations: [
        { generation: 1, range: [0, 59] },
        { generation: 2, range: [99, 149] },
        { generation: 3, range: [199, Number.POSITIVE_INFINITY] },
      ],
      pauses: [
        [59, 101],
        [149, 202],
      ],
    });
    // The third generation resumed from before the second one began.
    expect(generationMarks(spans, 'step', seconds)).toEqual({
      generations: [
        { generation: 1, range: [0, 30] },
        { generation: 3, range: [30, Number.POSITIVE_INFINITY] },
      ],
      pauses: [],
    });
    // If two generations began at the same step, the later one did it.
    const again = spans.with(2, { ...spans[2], fromStep: 40 });
    expect(generationMarks(again, 'step', seconds).generations).toEqual([
      { generation: 1, range: [0, 40] },
      { generation: 3, range: [40, Number.POSITIVE_INFINITY] },
    ]);
    expect(generationMarks(spans.slice(0, 1), 'time', seconds).generations).toEqual([]);
  });
});
