import { expect, it } from 'vitest';
import { fill } from '../../kit/text.js';

it('replaces names by values', () => {
  expect(fill('{{a}} and {{picture:b-c}}, {{n}}\n', { a: 'A', 'picture:b-c': '![$&](b)', n: 0 })).toBe(
    'A and ![$&](b), 0\n',
  );
});

it('shows a section or what stands for it, and leaves no gap of blank lines', () => {
  const template =
    '# Title\n\n{{#found}}\nFound {{what}}.\n{{/found}}\n{{^found}}\nNothing.\n{{/found}}\n\nEnd.';
  expect(fill(template, { found: { what: 'gold' } })).toBe('# Title\n\nFound gold.\n\nEnd.\n');
  expect(fill(template, { found: true, what: 'iron' })).toBe('# Title\n\nFound iron.\n\nEnd.\n');
  for (const found of [false, null, '', []])
    expect(fill(template, { found })).toBe('# Title\n\nNothing.\n\nEnd.\n');
  expect(fill('# Title\n\n{{#a}}\nA\n{{/a}}\n\nEnd', { a: null })).toBe('# Title\n\nEnd\n');
  expect(fill('one{{#more}}, two{{/more}}.', { more: true })).toBe('one, two.\n');
  expect(fill('one{{#more}}, two{{/more}}\nthree', { more: false })).toBe('one\nthree\n');
});

it('repeats a section for each view of a list, within which outer values can be seen', () => {
  const view = {
    unit: 'ms',
    rows: [
      { name: 'a', more: true },
      { name: 'b', more: false },
    ],
  };
  expect(fill('{{#rows}}\n- {{name}} {{unit}}{{#more}}!{{/more}}\n{{/rows}}\n', view)).toBe(
    '- a ms!\n- b ms\n',
  );
});

it('refuses a name without a value', () => {
  expect(() => fill('{{typo}}', { type: '' })).toThrow(
    'the template has {{typo}}, for which there is no value',
  );
  expect(() => fill('{{#typo}}x{{/typo}}', {})).toThrow('{{typo}}');
});
