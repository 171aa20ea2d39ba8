import type { Unwrap } from './ast.js';
import { compileCondition, labelParser } from './label-test.js';
import type { PipelineLine } from './pipeline-line.js';

/**
 * Takes a line's value out of a label, which is then no label of its series any more. As in Loki a line without the
 * label has no value, and one whose label is no number is marked with an error.
 *
 * @returns a function that gives null where a line has no value or does not pass the filters behind the unwrap
 */
export function compileUnwrap({ label, conversion, filters }: Unwrap): (line: PipelineLine) => number | null {
  const parse = labelParser(conversion);
  const conditions = filters.map(compileCondition);
  return (line) => {
    const text = line.labels.get(label) ?? '';
    if (text === '') return null;
    const value = parse(text);
    if (value === null)
      line.fail('SampleExtractionErr', `${label}: ${text.slice(0, 100)} is no ${conversion}`);
    if (!conditions.every((condition) => condition(line))) return null;
    line.edit().delete(label);
    return value ?? 0;
  };
}
