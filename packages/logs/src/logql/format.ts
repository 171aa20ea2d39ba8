import type { LabelFormat } from './ast.js';
import { ERROR_DETAILS_LABEL, ERROR_LABEL, type PipelineLine } from './pipeline-line.js';
import type { RegexGroup } from './regex.js';
import type { Template } from './template/ast.js';
import { TemplateRunner } from './template/evaluate.js';
import { TemplateError } from './template/values.js';

/** The stage `line_format`. If the template fails, the line stays as it is and has an error. */
export function compileLineFormat(template: Template, regexes: RegexGroup): (line: PipelineLine) => void {
  const runner = new TemplateRunner(template, regexes);
  if (isErrorAlone(template))
    return (line) => {
      line.text = '';
    };
  return (line) => {
    const text = run(runner, line, line.labels);
    if (text !== null) line.text = text;
  };
}

/** Whether a template is one label alone; like in Loki, such a template does not see errors. */
function isErrorAlone(template: Template): boolean {
  const [node] = template;
  if (template.length !== 1 || node?.kind !== 'action') return false;
  const { commands, variables } = node.pipe;
  const [operand, ...more] = commands[0]!;
  if (commands.length + variables.length + more.length > 1 || operand.kind !== 'field') return false;
  return operand.path.length === 1 && [ERROR_LABEL, ERROR_DETAILS_LABEL].includes(operand.path[0]!);
}

/** The stage `label_format`. All templates see the labels as they were at the first of them. */
export function compileLabelFormat(
  formats: readonly LabelFormat[],
  regexes: RegexGroup,
): (line: PipelineLine) => void {
  const steps = formats.map(({ name, source, template }) => ({
    name,
    source,
    runner: template === null ? null : new TemplateRunner(template, regexes),
  }));
  return (line) => {
    let labels: ReadonlyMap<string, string> | null = null;
    for (const { name, source, runner } of steps)
      if (runner === null) rename(line, source!, name);
      else {
        labels ??= new Map(line.labels);
        const value = run(runner, line, labels);
        if (value !== null) line.set(name, value);
      }
  };
}

function rename(line: PipelineLine, from: string, to: string): void {
  const value = line.labels.get(from);
  if (value === undefined) return;
  line.set(to, value);
  if (from !== to) line.delete(from);
}

/** Null if the template fails. */
function run(runner: TemplateRunner, line: PipelineLine, labels: ReadonlyMap<string, string>): string | null {
  try {
    return runner.run({ labels, text: line.text, at: line.at });
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    // This replaces an earlier error.
    line.set(ERROR_LABEL, 'TemplateFormatErr');
    line.set(ERROR_DETAILS_LABEL, error.message);
    return null;
  }
}
