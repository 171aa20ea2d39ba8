import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';
import { readYaml } from '../kit/read-yaml.js';
import { MEASURES, type Measure } from './measures.js';
import type { Stage } from './runs.js';

export interface Arm {
  readonly id: string;
  readonly label: string;
  readonly sets: readonly string[];
  readonly routes?: 'balanced' | 'random';
  /** Nodes x workers per node of runs for quality. */
  readonly layout?: string;
}

/** A question that the study asks, shown as a table of the page. */
export interface Question {
  readonly id: string;
  readonly title: string;
  readonly sets: readonly string[];
  readonly arms: readonly Arm[];
  readonly references: readonly Arm[];
  readonly stage: Stage;
  /** Seeds of its own; those of the stage if undefined. */
  readonly seeds?: readonly number[];
  readonly measures: readonly Measure[];
  /** True if the arms are ranked against the first reference. */
  readonly isRanked?: boolean;
  /** True if the page shows the change against the first reference at each validation, and not at the end alone. */
  readonly showsCourse?: boolean;
  /** What the questions of a curve have in common, which differ by the length of training alone. */
  readonly curve?: string;
}

/** Equality within a relative margin, or a relative change of at most this: -0.2 is 20 % less. */
export type Goal = { readonly within: number } | { readonly atMost: number };

/** A planned test of the confirming stage, on the runs of a question that includes both arms. */
export interface Planned {
  readonly arm: Arm;
  readonly reference: Arm;
  readonly question: Question;
  readonly measure: Measure | 'timeToLoss';
  readonly goal: Goal;
}

export interface Design {
  /** Absolute path; a path in an override that begins with ./ is relative to this folder. */
  readonly folder: string;
  readonly seeds: Readonly<Record<Stage, readonly number[]>>;
  readonly testSequences: number;
  /** Share of the documents that tested runs hold out; the test text is those that the recipe does not hold out. */
  readonly testShare: number;
  /** Overrides in runs for time. */
  readonly time: readonly string[];
  readonly questions: readonly Question[];
  readonly contrasts: readonly Planned[];
}

type OneOrMore<T> = T | readonly T[];
type AsWritten<T, Replaced> = Omit<T, keyof Replaced | 'id'> & Replaced;

/** The design in the form of its files: arms.yaml, questions.yaml and contrasts.yaml. */
export interface Written {
  readonly arms: Readonly<Record<string, Omit<Arm, 'id'>>>;
  readonly questions: Omit<Design, 'folder' | 'questions' | 'contrasts'> & {
    readonly questions: Readonly<Record<string, WrittenQuestion>>;
  };
  readonly contrasts: readonly WrittenContrast[];
}
type WrittenQuestion = AsWritten<
  Omit<Question, 'references'>,
  {
    readonly sets?: readonly string[];
    readonly arms: readonly string[];
    readonly reference: OneOrMore<string>;
  }
>;
/** Without `question`, the contrast belongs to the first question of the confirming stage that has both arms. */
type WrittenContrast = AsWritten<
  Planned,
  { readonly arm: string; readonly reference: string; readonly question?: string }
>;

/** @param folder folder of the three files, and of the recipe proof.yaml */
export function readDesign(folder: string): Design {
  const read = <T>(name: string) => readYaml<T>(path.join(folder, `${name}.yaml`));
  const written = { arms: read('arms'), questions: read('questions'), contrasts: read('contrasts') };
  return { ...designOf(written as Written), folder };
}

/** @throws TrainerError `BAD_INPUT` naming the file and the name in it that does not exist */
export function designOf({
  arms,
  questions: { questions, ...rest },
  contrasts,
}: Written): Omit<Design, 'folder'> {
  const armOf = (id: string, file: string): Arm => ({ id, ...found(arms, id, `${file}: arm`) });
  const all = Object.entries(questions).map(([id, { reference, sets = [], ...question }]): Question => {
    const file = `questions.yaml, ${id}`;
    // `--only` accepts names of both arms and questions.
    if (Object.hasOwn(arms, id)) throw new TrainerError('BAD_INPUT', `${file}: an arm has this name too`);
    for (const measure of question.measures) found(MEASURES, measure, `${file}: measure`);
    return {
      ...question,
      id,
      sets,
      arms: question.arms.map((arm) => armOf(arm, file)),
      references: [reference].flat().map((arm) => armOf(arm, file)),
    };
  });
  const planned = contrasts.map((contrast): Planned => {
    const has = ({ arms, id, stage }: Question) =>
      stage === 'confirming' &&
      (contrast.question ?? id) === id &&
      [contrast.arm, contrast.reference].every((wanted) => arms.some((arm) => arm.id === wanted));
    const question = all.find(has);
    if (question === undefined)
      throw new TrainerError(
        'BAD_INPUT',
        `contrasts.yaml: no question of the confirming stage has both ${contrast.arm} and ${contrast.reference}`,
      );
    if (contrast.measure !== 'timeToLoss') found(MEASURES, contrast.measure, 'contrasts.yaml: measure');
    const [arm, reference] = [contrast.arm, contrast.reference].map((id) => armOf(id, 'contrasts.yaml'));
    return { ...contrast, question, arm: arm!, reference: reference! };
  });
  return { ...rest, questions: all, contrasts: planned };
}

function found<T>(all: Readonly<Record<string, T>>, id: string, what: string): T {
  const one = Object.hasOwn(all, id) ? all[id] : undefined;
  if (one === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `${what} ${id} is not there: expected one of ${Object.keys(all).join(', ')}`,
    );
  return one;
}
