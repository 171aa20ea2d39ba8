import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Job, Scheduler } from '../../src/api/scheduler.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { Decoder } from '../../src/inference/decoder.js';
import { LanguageModel } from '../../src/model/language-model.js';
import { tinyConfig } from '../model/support.js';

const config = tinyConfig();
let model: LanguageModel;
let decoder: Decoder;
beforeAll(() => {
  model = new LanguageModel(config, soloTransport());
  decoder = new Decoder(model);
});
afterAll(() => model.dispose());

/** A job that counts its tokens. */
function job(
  maxTokens: number,
  { tokenIds = [1, 2], signal = new AbortController().signal, fails = 0 } = {},
) {
  const done = { numTokens: 0, numReads: 0, ends: [] as unknown[] };
  let settle!: () => void;
  const ended = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const own: Job = {
    tokenIds,
    domain: 0,
    maxTokens,
    signal,
    read: () => {
      done.numReads++;
    },
    next: () => {
      done.numTokens++;
      if (done.numTokens === fails) throw new Error('broken');
      return done.numTokens < maxTokens ? 3 : null;
    },
    end: (error) => {
      done.ends.push(error);
      settle();
    },
  };
  return { job: own, done, ended };
}

const scheduler = (maxBatch: number) =>
  new Scheduler(decoder, config.model.dModel, { maxBatch, maxWaiting: 9 });

it('gives every job its tokens, beyond the window too, and ends it once', async () => {
  const jobs = [job(1), job(4), job(0), job(12), job(2)];
  const own = scheduler(2);
  own.submit(jobs.map((each) => each.job));
  await Promise.all(jobs.map(({ ended }) => ended));
  expect(jobs.map(({ done }) => done)).toEqual(
    [1, 4, 0, 12, 2].map((numTokens) => ({ numTokens, numReads: 1, ends: [null] })),
  );
  expect(own.state).toEqual({ running: 0, waiting: 0, closing: false });
});

it('takes turns among requests, so that one with many texts does not delay the others', async () => {
  const many = Array.from({ length: 6 }, () => job(1));
  const few = [job(1), job(1)];
  const order: string[] = [];
  many.forEach(({ ended }, i) => void ended.then(() => order.push(`many ${i}`)));
  few.forEach(({ ended }, i) => void ended.then(() => order.push(`few ${i}`)));
  const own = scheduler(1);
  own.submit(many.map((each) => each.job));
  own.submit(few.map((each) => each.job));
  await Promise.all([...many, ...few].map(({ ended }) => ended));
  expect(order.slice(0, 4)).toEqual(['many 0', 'few 0', 'many 1', 'few 1']);
  expect(order).toHaveLength(8);
});

it('takes turns where all windows slide', async () => {
  const jobs = Array.from({ length: 100 }, () => job(9));
  const own = new Scheduler(decoder, config.model.dModel, { maxBatch: 100, maxWaiting: 100 });
  own.submit(jobs.map((each) => each.job));
  let widest = 0;
  const watch = setInterval(() => {
    const counts = jobs.map(({ done }) => done.numTokens);
    // Jobs that still enter are behind, and do not count.
    if (Math.min(...counts) >= 5) widest = Math.max(widest, Math.max(...counts) - Math.min(...counts));
  });
  await Promise.all(jobs.map(({ ended }) => ended));
  clearInterval(watch);
  expect(jobs.map(({ done }) => done.numTokens)).toEqual(jobs.map(() => 9));
  expect(widest).toBeLessThanOrEqual(4);
});

it('lets the others go on when one fails, or its prompt cannot be read', async () => {
  const jobs = [job(5), job(5, { fails: 3 }), job(5, { fails: 1 })];
  const own = scheduler(8);
  own.submit(jobs.map((each) => each.job));
  await Promise.all(jobs.map(({ ended }) => ended));
  expect(jobs.map(({ done }) => [done.numTokens, String(done.ends)])).toEqual([
    [5, ''],
    [3, 'Error: broken'],
    [1, 'Error: broken'],
  ]);
  const unreadable = job(5, { tokenIds: [9999] });
  own.submit([unreadable.job]);
  await unreadable.ended;
  expect(String(unreadable.done.ends)).toMatch(/token id 9999/);
  const after = job(2);
  own.submit([after.job]);
  await after.ended;
  expect(after.done.ends).toEqual([null]);
});

it('drops a job that nobody wants, running or waiting', async () => {
  const gone = new AbortController();
  const [running, waiting, other] = [
    job(1_000_000, { signal: gone.signal }),
    job(5, { signal: gone.signal }),
    job(3),
  ];
  const own = scheduler(1);
  own.submit([running.job, waiting.job, other.job]);
  while (running.done.numTokens < 3) await new Promise(setImmediate);
  gone.abort(new Error('gone'));
  await Promise.all([running.ended, waiting.ended, other.ended]);
  expect([running, waiting, other].map(({ done }) => String(done.ends))).toEqual([
    'Error: gone',
    'Error: gone',
    '',
  ]);
  expect(waiting.done.numReads).toBe(0);
});

it('refuses more than may wait, and anything once it closes', async () => {
  const own = scheduler(1);
  const jobs = Array.from({ length: 9 }, () => job(2));
  own.submit(jobs.map((each) => each.job));
  expect(() => own.submit([job(1).job])).toThrow(/9 texts are waiting/);
  expect(() => own.submit(Array.from({ length: 10 }, () => job(1).job))).toThrow(/at most 9/);
  const closed = own.close();
  expect(() => own.submit([job(1).job])).toThrow(/shutting down/);
  await closed;
  expect(jobs.map(({ done }) => done.ends)).toEqual(jobs.map(() => [null]));
});
