import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { recipeNames, resolveConfig } from '../../src/config/resolve.js';
import { TrainerError } from '../../src/errors.js';

const TEXTS = recipeNames().map((name) =>
  readFileSync(new URL(`../../configs/${name}.yaml`, import.meta.url), 'utf8'),
);
const FIELDS = fieldsOf(parse(TEXTS[0]));
/** Time limit of one input on a busy machine; most take a few milliseconds. */
const MAX_MS = 10_000;

function fieldsOf(value: unknown, name = ''): string[] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, field]) => fieldsOf(field, name === '' ? key : `${name}.${key}`))
      : [];
  return name === '' ? inner : [name, ...inner];
}

/** Expects a configuration, or an error with one line for each problem that says where it is. */
function expectAnswer(text: string, sets: readonly string[]): void {
  const started = performance.now();
  try {
    expect(resolveConfig(text, 'run.yaml', { sets }).name).toMatch(/^[a-z0-9]/);
  } catch (error) {
    if (!(error instanceof TrainerError)) throw error;
    expect(error.code).toBe('BAD_CONFIG');
    for (const line of error.message.split('\n'))
      expect(line).toMatch(/^(?:run\.yaml:\d+:\d+ \P{C}+|--set \P{C}+|and \d+ more problems)$/u);
    expect(error.message.length).toBeLessThan(20_000);
  }
  expect(performance.now() - started).toBeLessThan(MAX_MS);
}

const field = fc.constantFrom(...FIELDS);
const key = fc.oneof(
  field,
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom('__proto__', 'constructor', 'length', '', '<<', 'a.b', '0', '1e3', 'x'.repeat(5000)),
);
const scalar = fc.oneof(
  fc.constantFrom(0, -1, 1, 2, 3, 4, 1.5, 64, 1e9, 2 ** 53, 2 ** 64, 1e308, 5e-324, Infinity, -Infinity, NaN),
  fc.double(),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('switch', 'en', 'auto', 'null', '../../etc', '*x', '&x', '\u202e', '\u001b[2J', '\0', '\n'),
  fc.boolean(),
  fc.constantFrom(null, undefined, [], {}, [[]], ['en', 'en'], [0, -1]),
);
const value = fc.oneof(scalar, fc.object({ key, maxDepth: 3, maxKeys: 4, values: [scalar] }));
const assignment = fc.oneof(
  fc.tuple(key, value).map(([name, each]) => `${name}=${typeof each === 'string' ? each : stringify(each)}`),
  fc.tuple(field, fc.nat(9), scalar).map(([name, index, each]) => `${name}.${index}=${String(each)}`),
  fc.string({ unit: 'binary', maxLength: 30 }),
);
const sets = fc.array(assignment, { maxLength: 3 });

/** Text that is inserted into a recipe or replaces part of it. */
const insertion = fc.oneof(
  fc.constantFrom('&x ', '*x', '*y', '[', ']', '{', '}', ': ', '- ', '? ', '---\n', '...\n', '%YAML 9\n'),
  fc.constantFrom('!!binary ', '!a ', '<<: *x\n', 'seed: 1\n', '"', "'", '|', '>', '#', '\t', '\r', '\u0085'),
  fc.constantFrom('- '.repeat(200), '{a: '.repeat(200), '['.repeat(200), ' *x,'.repeat(200)),
  fc.constantFrom(`\nx: &x [${'[1], '.repeat(50)}]\ny: &y [${'*x, '.repeat(50)}]\n`, '\ud800', '\0'),
  fc.string({ unit: 'binary', maxLength: 30 }),
);
const edit = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(40), insertion });

function edited(
  text: string,
  { at, cut, insertion: inserted }: { at: number; cut: number; insertion: string },
) {
  const begin = Math.floor(at * text.length);
  return text.slice(0, begin) + inserted + text.slice(begin + cut);
}

// The seed is fixed, so inputs are the same every time; to search further, raise `numRuns` and change the seed.
const BOUNDS = { seed: 20261126, numRuns: 200 };

it('any edit of the text of a recipe is answered', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...TEXTS),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      sets,
      (text, edits, all) => expectAnswer(edits.reduce(edited, text), all),
    ),
    BOUNDS,
  );
});

it('any value in any field is answered', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...TEXTS),
      fc.array(fc.tuple(field, value), { maxLength: 3 }),
      sets,
      (text, all, more) => {
        const config: Record<string, unknown> = parse(text);
        for (const [name, each] of all) {
          const [section, ...rest] = name.split('.');
          const inner = config[section];
          if (rest.length === 1 && typeof inner === 'object' && inner !== null)
            Object.defineProperty(inner, rest[0], {
              value: each,
              enumerable: true,
              configurable: true,
              writable: true,
            });
          else config[section] = each;
        }
        expectAnswer(stringify(config), more);
      },
    ),
    BOUNDS,
  );
});

it('a recipe cut short anywhere is answered', () => {
  for (const text of TEXTS)
    for (let length = 0; length < text.length; length += 7) expectAnswer(text.slice(0, length), []);
});
