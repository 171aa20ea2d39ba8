import type { Unwrap } from './ast.js';
import { compileCondition, labelParser } from './label-test.js';
import type { PipelineLine } from './pipeline-line.js';
import { RegexGroup } from './regex.js';

/**
 * Unwraps a label: its value becomes the sample, and the label is removed. As in Loki a line without the
 * label has no sample, and a value that cannot be parsed sets an error.
 *
 * @returns a function that returns null if a line has no sample or fails the filters after `unwrap`
 */
export function compileUnwrap({ label, conversion, filters }: Unwrap): (line: PipelineLine) => number | null {
  const parse = labelParser(conversion);
  const regexes = new RegexGroup();
  const conditions = filters.map((filter) => compileCondition(filter, regexes));
  return (line) => {
    const text = line.labels.get(label) ?? '';
    if (text === '') return null;
    const value = parse(text);
    if (value === null)
      line.fail('SampleExtractionErr', `${label}: ${text.slice(0, 100)} is not a ${conversion}`);
    if (!conditions.every((condition) => condition(line))) return null;
    line.delete(label);
    return value ?? 0;
  };
}
