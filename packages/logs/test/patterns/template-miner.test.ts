import { describe, expect, it } from 'vitest';
import { current, messageOfLine, TemplateMiner } from '../../src/patterns/template-miner.js';
import { randomNumbers } from '../support.js';

/** Templates of texts, each with the texts that it matched. */
function mine(texts: readonly string[]): Record<string, string[]> {
  const miner = new TemplateMiner();
  const templates = texts.map((text) => miner.add(text));
  const byTemplate: Record<string, string[]> = {};
  for (const [i, template] of templates.entries()) {
    const name = template === null ? 'none' : current(template).text;
    byTemplate[name] = [...(byTemplate[name] ?? []), texts[i]];
  }
  return byTemplate;
}

/**
 * The rule of LogQL's pattern filter: literals in order, anchored at an end unless `<_>` is there; `<_>` is never
 * empty.
 */
function matches(pattern: string, line: string): boolean {
  const literals = pattern.split('<_>').map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literals.join('[^]+?')}$`).test(line);
}

describe('templates', () => {
  it('have <_> for every word with a digit', () => {
    expect(
      mine([
        'step 1: loss 2.25, 31.5 ms',
        'step 20: loss 1e-3, 9 ms',
        'saved checkpoint (4 shards)',
        'rank 3 is slow',
        'rank 4 is dead',
        'saved checkpoint (8 shards)',
      ]),
    ).toEqual({
      'step <_> loss <_>, <_> ms': ['step 1: loss 2.25, 31.5 ms', 'step 20: loss 1e-3, 9 ms'],
      'saved checkpoint (<_> shards)': ['saved checkpoint (4 shards)', 'saved checkpoint (8 shards)'],
      'rank <_> is slow': ['rank 3 is slow'],
      'rank <_> is dead': ['rank 4 is dead'],
    });
  });

  it('have <_> for words that differ in more than 15 texts of a shape, the first of them too', () => {
    const names = Array.from(
      { length: 40 },
      (_, i) => `user-${String.fromCharCode(97 + (i % 26))}${'x'.repeat(i)}`,
    );
    const logins = names.map((name) => `login of ${name} from console`);
    const others = ['all done', 'no name in this text here'];
    expect(mine([...others, ...logins])).toEqual({
      'login of <_> from console': logins,
      ...Object.fromEntries(others.map((text) => [text, [text]])),
    });
  });

  it('never hold what a pattern filter would read as a name', () => {
    expect(Object.keys(mine(['<b>bold</b> is <name>', 'a<b']))).toEqual(['<_> is <_>', '<_>']);
  });

  it('match the lines that they are for, whatever these are', () => {
    const random = randomNumbers(5);
    const pieces = [
      'a',
      'bc',
      'x1',
      '7',
      '-2.5',
      ' ',
      '  ',
      '=',
      '"',
      '(',
      ')',
      ',',
      '<',
      '>',
      '<_>',
      '\\',
      'é',
      '{',
      '|',
    ];
    const texts = Array.from({ length: 3_000 }, () =>
      Array.from(
        { length: 1 + Math.floor(random() * 8) },
        () => pieces[Math.floor(random() * pieces.length)],
      ).join(''),
    );
    const { none = [], ...templates } = mine(texts);
    expect(none.length).toBeLessThan(texts.length / 2);
    for (const [template, lines] of Object.entries(templates))
      for (const line of lines) expect(matches(template, line), `${template} for ${line}`).toBe(true);
  });

  it('are bounded in number and length', () => {
    const shapes = Array.from({ length: 1_200 }, (_, i) =>
      i.toString(2).replaceAll('0', '(').replaceAll('1', ','),
    );
    const found = mine(shapes);
    expect(found.none).toHaveLength(200);
    expect(Object.keys(found)).toHaveLength(1_001);
    expect(mine(['x'.repeat(1_001)])).toEqual({ none: ['x'.repeat(1_001)] });
  });
});

describe('the message of a line', () => {
  it.each([
    ['{"level":"info","msg":"step 5"}', '<_>"msg":"', 'step 5', '"<_>'],
    ['{"err":{"message":"a","msg":"b"},"msg":"say \\"c\\""}', '<_>"msg":"', 'say \\"c\\"', '"<_>'],
    ['{"message":"m","level":30}', '<_>"message":"', 'm', '"<_>'],
    ['{"msg":"cut', '', '{"msg":"cut', ''],
    ['plain 1', '', 'plain 1', ''],
  ])('%s', (line, before, text, after) => {
    expect(messageOfLine(line)).toEqual({ before, text, after });
  });
});
