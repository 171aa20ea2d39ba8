import { expect, it } from 'vitest';
import { completionPlace } from '../src/browser/logs/completion-place.js';

/** The completion place at the `^` in a query. */
function placeAt(marked: string) {
  return completionPlace(marked.replace('^', ''), marked.indexOf('^'));
}

it.each([
  ['^', 'start', ''],
  ['sum(count_ov^', 'start', 'count_ov'],
  ['sum by (level, ra^', 'grouping', 'ra'],
  ['sum by (^) (rate({run="a"}[1m]))', 'grouping', ''],
  ['{^', 'label', ''],
  ['{run="a", le^', 'label', 'le'],
  ['{run="a",level ^', 'matcher', ''],
  ['{level!^', 'matcher', '!'],
  ['{level=^', 'label-value', ''],
  ['{level="wa^', 'label-value', 'wa'],
  ['{level=~`warn|err^`} | json', 'label-value', 'warn|err'],
  ['{run="}", level="^', 'label-value', ''],
  ['{run="a"}^', 'stage', ''],
  ['{run="a"} ^', 'stage', ''],
  ['{run="a"} |= "x" ^', 'stage', ''],
  ['{run="a"} |= "x" | json ^', 'stage', ''],
  ['{run="a"} | ^', 'stage-or-field', ''],
  ['{run="a"} |^', 'stage-or-field', ''],
  ['{run="a"} | js^', 'stage-or-field', 'js'],
  ['{run="a"} | json | step ^', 'comparison', ''],
  ['{run="a"} | json | step !^', 'comparison', '!'],
  ['{run="a"} | json | step = ^', 'field-value', ''],
  ['{run="a"} | json | state="ru^"', 'field-value', 'ru'],
  ['{run="a"} | json | step > 3 and ^', 'field', ''],
  ['{run="a"} | json | step > 3 or lo^', 'field', 'lo'],
  ['{run="a"} | json | step > 3 ^', 'stage', ''],
  ['count_over_time({run="a"} | json | ste^', 'stage-or-field', 'ste'],
  ['count_over_time({run="a"} [^', 'duration', ''],
  ['count_over_time({run="a"} [1m]) + ra^', 'start', 'ra'],
])('%s wants %s', (query, kind, typed) => {
  expect(placeAt(query)).toMatchObject({ wanted: { kind }, typed });
});

it.each([
  '{run="a"} |= "^',
  '{run="a"} |= ^',
  '{run="a"} | json | step > 1^',
  '{run="a"} | line_format "{{.^',
])('%s wants nothing', (query) => {
  expect(placeAt(query)).toBeNull();
});

it('replaces the whole word or value, and asks for what goes with the rest of the selector', () => {
  const replaced = (marked: string) => {
    const { from, to, selector } = placeAt(marked)!;
    return [marked.replace('^', '').slice(from, to), selector];
  };
  expect(replaced('{run="a", le^vel="warn"}')).toEqual(['level', '{run="a"}']);
  expect(replaced('{run="a", level="wa^rn", rank="3"} |= "x"')).toEqual(['"warn"', '{run="a", rank="3"}']);
  expect(replaced('{run="a", level="wa^} | json')).toEqual(['"wa', '{run="a"}']);
  expect(replaced('{run="a", level=~"w.*", node!="1"} | json | st^ep > 3')).toEqual(['step', '{run="a"}']);
  expect(replaced('{level=^}')).toEqual(['', '']);
  expect(replaced('sum(rate({run="a"}[1m])) / sum(rate({run="b", ra^')).toEqual(['ra', '{run="b"}']);
});
