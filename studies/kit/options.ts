import { collect, collectWords, wholeNumber } from 'locmoe/internal/cli/commands/options';

/** An option of a study; the study finds its value under the option's name. */
export interface StudyOption<Value> {
  /** Placeholder of the argument in the help. */
  readonly takes: string;
  readonly help: string;
  readonly value: Value;
  /** Default value with `--quick`. */
  readonly quick: Value;
  parse(text: string, previous: Value | undefined): Value;
}

export type StudyOptions = Readonly<Record<string, StudyOption<unknown>>>;

export type ValuesOf<Options extends StudyOptions> = {
  readonly [name in keyof Options]: Options[name] extends StudyOption<infer Value> ? Value : never;
};

export function text(takes: string, help: string, value: string, quick = value): StudyOption<string> {
  return { takes, help, value, quick, parse: (given) => given };
}

/** Defines a numeric option; without `parse`, its value must be a whole number of at least `least`. */
export function count(
  help: string,
  value: number,
  { quick = value, least = 1, parse = wholeNumber(least) } = {},
): StudyOption<number> {
  return { takes: '<n>', help, value, quick, parse };
}

/** Defines an optional number; `help` tells what happens without it. */
export function maybe(
  parse: (text: string) => number,
  help: string,
  { takes = '<n>', quick = null as number | null } = {},
): StudyOption<number | null> {
  return { takes, help, value: null, quick, parse };
}

/** Defines an option of words separated by commas, or given by repeating the option. */
export function words(
  help: string,
  { takes = '<words>', quick = [] as readonly string[] } = {},
): StudyOption<readonly string[]> {
  return { takes, help, value: [], quick, parse: (given, previous) => collectWords(given, previous ?? []) };
}

/** `--set`, as in the commands that train. */
export const SET: StudyOption<readonly string[]> = {
  takes: '<key=value>',
  help: 'override a field in every training; repeat for several',
  value: [],
  quick: [],
  parse: (given, previous) => collect(given, previous ?? []),
};
