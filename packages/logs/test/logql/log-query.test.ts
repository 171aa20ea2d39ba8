import { describe, expect, it } from 'vitest';
import { LogEngine } from '../../src/logql/log-engine.js';
import { logLine, messages, randomNumbers, select, TestRuns, transform } from '../support.js';

describe('a pipeline', () => {
  const line = logLine({
    level: 'warn',
    step: 12,
    loss: 2.5,
    deep: { er: { x: true } },
    list: [1],
    took: '1.5s',
  });

  it.each<[string, Record<string, string>]>([
    [
      '| json | drop time',
      {
        step: '12',
        loss: '2.5',
        deep_er_x: 'true',
        took: '1.5s',
        msg: 'step',
        level_extracted: 'warn',
        run_extracted: 'r1',
        generation_extracted: '1',
      },
    ],
    ['| json s="step", d="deep", first="list[0]"', { s: '12', d: '{"er":{"x":true}}', first: '1' }],
    ['| json step, nothing', { step: '12', nothing: '' }],
    ['| json step | drop step', {}],
    ['| json step, loss | keep loss', { loss: '2.5' }],
    ['| json step, loss | drop step="13", loss="2.5"', { step: '12' }],
    ['| json level="msg"', { level_extracted: 'step' }],
  ])('%s', async (pipeline, labels) => {
    expect((await transform(line, pipeline))?.[0]).toEqual(labels);
  });

  it.each<[string, boolean]>([
    ['| json | step = 12', true],
    ['| json | step > 12', false],
    ['| json | step >= 12 and loss < 2.6', true],
    ['| json | step > 12 or loss < 2.6', true],
    ['| json | step > 12 or loss < 2.6, took > 1s', true],
    ['| json | took > 2s', false],
    ['| json | took <= 1500ms', true],
    ['| json | took != 1s500ms', false],
    ['| json | msg =~ "st.*"', true],
    ['| json | msg =~ "t"', false],
    ['| json | msg !~ "t"', true],
    ['| json | (step = 1 or step = 12) and level = "warn"', true],
    ['| json | absent = ""', true],
    ['| json | absent > 1', false],
    ['|= "step" |= "12"', true],
    ['|= "nothing" or "12"', true],
    ['!= "nothing" or "12"', false],
    ['!= "nothing"', true],
    ['|~ "lo.s"', true],
    ['!~ "lo.s"', false],
    ['|~ "^lo.s"', false],
    ['| line_format "{{.level}}!" |= "warn!"', true],
    ['| line_format "{{.level}}!" |= "step"', false],
  ])('%s: %s', async (pipeline, passes) => {
    expect((await transform(line, pipeline)) !== null).toBe(passes);
  });

  it('keeps formats that multiply lines small', async () => {
    const pipeline = `| line_format "${'{{__line__}}'.repeat(15)}"`.repeat(20);
    expect((await transform('x'.repeat(1000), pipeline))?.[1].length).toBeLessThanOrEqual(1 << 20);
  });
});

describe('line filters', () => {
  it('commute, and agree with a loop over the lines', async () => {
    const random = randomNumbers(11);
    const words = ['alpha', 'beta', 'gamma', 'NaN', 'loss'];
    const word = () => words[Math.floor(random() * words.length)];
    const runs = new TestRuns();
    const lines = Array.from({ length: 1_000 }, (_, atMs) =>
      random() < 0.02
        ? `${word()} ${word()} no json ${atMs}`
        : logLine({ atMs, node: 0, rank: Math.floor(random() * 3), msg: `${word()} ${word()}` }),
    );
    runs.write('node-0', lines);
    const engine = new LogEngine(runs.catalog);
    for (let i = 0; i < 10; i++) {
      const filters = Array.from({ length: 3 }, () => {
        const [op, text] = [['|=', '!=', '|~', '!~'][Math.floor(random() * 4)], word()];
        const pattern = op.endsWith('~') ? `${text.slice(0, 2)}.${text.slice(3)}` : text;
        return { op, pattern };
      });
      const expected = lines.filter((line) =>
        filters.every(({ op, pattern }) => new RegExp(pattern).test(line) === !op.startsWith('!')),
      );
      for (const order of [filters, filters.toReversed()]) {
        const query = order.map(({ op, pattern }) => `${op} "${pattern}"`).join(' ');
        expect(await select(engine, `{run="r1"} ${query}`), query).toEqual(expected);
      }
    }
  });
});

describe('a selector', () => {
  it('finds runs by label, and reads only those', async () => {
    const runs = new TestRuns();
    for (const run of ['r1', 'r2', 'x1']) runs.write('node-0', [logLine({ node: 0, msg: run })], run);
    const engine = new LogEngine(runs.catalog);
    expect(await messages(engine, '{run=~"r."}')).toEqual(['r1', 'r2']);
    expect(await messages(engine, '{service_name="locmoe", run!="r1"}')).toEqual(['r2', 'x1']);
    // The detected level of a line is not a label of its stream.
    expect(await messages(engine, '{run="r1", detected_level="info"}')).toEqual([]);
    expect(await messages(engine, '{run="r1"} | detected_level="info"')).toEqual(['r1']);
    // A regular expression of a label matches the whole value.
    expect(await messages(engine, '{run=~"r"}')).toEqual([]);
  });
});
