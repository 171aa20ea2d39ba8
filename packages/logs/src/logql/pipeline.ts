import { stripVTControlCharacters } from 'node:util';
import { LogsError } from '../errors.js';
import type { LabelFormat, LabelPick, LineFilter, Stage } from './ast.js';
import { compileJsonPaths, extractJson, unpack } from './json-fields.js';
import { compileCondition, compileMatcher } from './label-test.js';
import { compileLineTest, type LineTest } from './line-test.js';
import { compileLogfmt } from './logfmt-fields.js';
import { extractPattern, parsePattern } from './pattern.js';
import { ERROR_DETAILS_LABEL, ERROR_LABEL, type PipelineLine } from './pipeline-line.js';
import { Regex, RegexGroup } from './regex.js';
import type { Template } from './template/ast.js';
import { TemplateRunner } from './template/evaluate.js';
import { TemplateError } from './template/values.js';

export interface Pipeline {
  /** The leading line filters, which need only bytes. */
  readonly test: LineTest;
  /** Whether no stage needs the line itself, only its labels. */
  readonly readsNothing: boolean;
  /** The other stages; null if there are none. Returns whether the line passes. */
  readonly run: ((line: PipelineLine) => boolean) | null;
}

/** Compiles stages; patterns were checked when the query was parsed. */
export function compilePipeline(stages: readonly Stage[]): Pipeline {
  const first = stages.findIndex(({ kind }) => kind !== 'line-filter');
  const numFilters = first < 0 ? stages.length : first;
  const filters = stages.slice(0, numFilters) as LineFilter[];
  const rest = stages.slice(numFilters);
  const regexes = new RegexGroup();
  const steps = rest.map((stage) => compileStage(stage, regexes));
  return {
    test: compileLineTest(filters, regexes),
    readsNothing: filters.length === 0 && rest.every(({ kind }) => kind === 'drop' || kind === 'keep'),
    run: steps.length === 0 ? null : (line) => steps.every((step) => step(line)),
  };
}

function compileStage(stage: Stage, regexes: RegexGroup): (line: PipelineLine) => boolean {
  switch (stage.kind) {
    case 'line-filter': {
      const test = compileLineTest([stage], regexes);
      return ({ text }) => {
        const bytes = Buffer.from(text);
        test.begin(bytes);
        return test.passes(0, bytes.length);
      };
    }
    case 'json':
      return always(stage.extractions.length === 0 ? extractJson : compileJsonPaths(stage.extractions));
    case 'logfmt':
      return always(compileLogfmt(stage));
    case 'label-filter':
      return compileCondition(stage.condition, regexes);
    case 'drop':
    case 'keep':
      return always(compileRemoval(stage, regexes));
    case 'regexp': {
      const regex = new Regex(stage.pattern, regexes);
      return always((line) => {
        const groups = regex.namedGroups(line.text) ?? {};
        for (const name of regex.groupNames) if (name in groups) line.extract(name, groups[name]!);
      });
    }
    case 'pattern': {
      const parts = parsePattern(stage.pattern, (message) => new LogsError('BAD_INPUT', message));
      return always((line) => extractPattern(line, parts));
    }
    case 'unpack':
      return always(unpack);
    case 'decolorize':
      return always((line) => {
        line.text = stripVTControlCharacters(line.text);
      });
    case 'line-format':
      return always(compileLineFormat(stage.template, regexes));
    case 'label-format':
      return always(compileLabelFormat(stage.formats, regexes));
  }
}

function always(step: (line: PipelineLine) => void): (line: PipelineLine) => boolean {
  return (line) => {
    step(line);
    return true;
  };
}

function compilePicks(
  picks: readonly LabelPick[],
  regexes: RegexGroup,
): (line: PipelineLine, name: string) => boolean {
  const byName = new Map<string, ((line: PipelineLine) => boolean)[]>();
  for (const { name, matcher } of picks) {
    const test = matcher === null ? null : compileMatcher(matcher, regexes);
    const tests = byName.get(name) ?? [];
    tests.push((line) => test === null || test(line.labels));
    byName.set(name, tests);
  }
  return (line, name) => byName.get(name)?.some((test) => test(line)) ?? false;
}

/** Compiles the stages `drop` and `keep`; `keep` does not remove an error. */
function compileRemoval(
  { kind, picks }: Extract<Stage, { kind: 'drop' | 'keep' }>,
  regexes: RegexGroup,
): (line: PipelineLine) => void {
  const isPicked = compilePicks(picks, regexes);
  const isRemoved = (line: PipelineLine, name: string) =>
    kind === 'drop'
      ? isPicked(line, name)
      : name !== ERROR_LABEL && name !== ERROR_DETAILS_LABEL && !isPicked(line, name);
  return (line) => {
    const names = [...line.labels.keys()].filter((name) => isRemoved(line, name));
    for (const name of names) line.delete(name);
  };
}

/** Compiles the stage `line_format`. If the template fails, the line is unchanged and has an error. */
function compileLineFormat(template: Template, regexes: RegexGroup): (line: PipelineLine) => void {
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

/** Whether a template consists of a single label; as in Loki, such a template does not see errors. */
function isErrorAlone(template: Template): boolean {
  const [node] = template;
  if (template.length !== 1 || node?.kind !== 'action') return false;
  const { commands, variable } = node.pipe;
  const [operand, ...more] = commands[0]!;
  if (variable !== null || commands.length + more.length > 1 || operand.kind !== 'field') return false;
  return operand.path.length === 1 && [ERROR_LABEL, ERROR_DETAILS_LABEL].includes(operand.path[0]!);
}

/** Compiles the stage `label_format`. All templates see the labels as they were before the stage. */
function compileLabelFormat(
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

/** Returns null if the template fails. */
function run(runner: TemplateRunner, line: PipelineLine, labels: ReadonlyMap<string, string>): string | null {
  try {
    return runner.run({ labels, text: line.text });
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    // This replaces an earlier error.
    line.set(ERROR_LABEL, 'TemplateFormatErr');
    line.set(ERROR_DETAILS_LABEL, error.message);
    return null;
  }
}
