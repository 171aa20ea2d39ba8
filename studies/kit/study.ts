import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { machine, makeBenchFolders } from '@locmoe/bench/internal/folders';
import { Command } from 'commander';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { interruptible } from 'locmoe/internal/os/on-signals';
import type { StudyOptions, ValuesOf } from './options.js';
import { type Report, writeReport } from './report.js';

/** Figures with their origin, as in the JSON of a study. */
export type Made<Figures> = Figures & { readonly machine: string; readonly command: string };

export interface Place<Values, Figures> {
  readonly options: Values;
  readonly quick: boolean;
  /** Absolute path of the folder in which the study keeps its files. */
  readonly workDir: string;
  /** Folder of the report. */
  readonly out: string;
  readonly dataDir: string;
  /** Aborted when a signal asks for the end: the study then ends its processes and throws. */
  readonly signal: AbortSignal;
  /** The figures that are in the JSON in `out`; null if there are none, or if they are of another machine. */
  readonly previous: Made<Figures> | null;
  /** Writes JSON, page and pictures before everything is measured. */
  write(figures: Figures): Promise<void>;
  /** Makes the command exit as after a failed run, once the report is written. */
  fail(): void;
}

/** The specification of a study: what it measures, and how its figures become a page. */
export interface Study<Options extends StudyOptions, Figures extends object> {
  /** Name of the study's folder, its command and its files in docs/results. */
  readonly name: string;
  readonly description: string;
  /** Description of `--quick`; the option exists only if this is given. */
  readonly quick?: string;
  readonly options: Options;
  /**
   * Tells whether these options measure only a part, whose report does not belong in docs/results; `--quick`
   * always does.
   */
  isPart?(values: ValuesOf<Options>): boolean;
  measure(place: Place<ValuesOf<Options>, Figures>): Promise<Figures>;
  /** Reads the figures if the study keeps them in a separate file, to which `measure` adds, instead of one JSON. */
  read?(options: ValuesOf<Options>, out: string): Made<Figures>;
  /** Makes the values for `report.md` of the study's folder from the figures; without it the study has no page. */
  report?(figures: Made<Figures>): Report;
}

interface CommonOptions {
  readonly quick?: boolean;
  readonly anew?: boolean;
  readonly report?: boolean;
  readonly workDir: string;
  readonly out?: string;
  readonly dataDir: string;
}

/** Makes the command of a study: `npm run study -- NAME`. */
export function study<Options extends StudyOptions, Figures extends object>(
  spec: Study<Options, Figures>,
): Command {
  const command = new Command(spec.name).description(spec.description);
  for (const [name, { takes, help, value, quick, parse }] of Object.entries(spec.options)) {
    const values = quick === value ? [value] : [value, `${quick} with --quick`];
    const shown = values.filter((each) => String(each) !== '').join('; ');
    const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    command.option(`--${flag} ${takes}`, `${help}${shown === '' ? '' : ` (${shown})`}`, parse);
  }
  if (spec.quick !== undefined) command.option('--quick', `${spec.quick}; all goes to <work-dir>/quick`);
  return command
    .option('--report', 'measure nothing: write page and pictures anew from the JSON of an earlier call')
    .option('--anew', 'measure again what an earlier call has finished')
    .option('--work-dir <dir>', 'keeps what is finished', `runs/${spec.name}`)
    .option('--out <dir>', 'folder of the report (docs/results; of a part, <work-dir>)')
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .action(async (given: CommonOptions) => {
      process.exitCode = await run(spec, given);
    });
}

async function run<Options extends StudyOptions, Figures extends object>(
  spec: Study<Options, Figures>,
  { quick = false, anew = false, report = false, ...given }: CommonOptions,
): Promise<number> {
  const options = valuesOf(spec.options, quick, given);
  const workDir = path.resolve(given.workDir, quick ? 'quick' : '.');
  const out = given.out ?? (quick || spec.isPart?.(options) ? workDir : 'docs/results');
  const file = path.join(out, `${spec.name}.json`);
  const write = async (figures: Made<Figures>) => {
    const text = `${JSON.stringify(figures, null, 2)}\n`;
    if (spec.read === undefined && (!existsSync(file) || readFileSync(file, 'utf8') !== text))
      writeFileSync(file, text);
    if (spec.report === undefined) return file;
    return writeReport(spec.name, spec.report(figures), figures, out);
  };
  const read = () => (spec.read ? spec.read(options, out) : readFigures<Figures>(file));
  if (report) {
    const figures = read();
    if (figures === null) throw new TrainerError('BAD_INPUT', `--report: there is no ${file}`);
    console.log(`report: ${await write(figures)}`);
    return EXIT.done;
  }
  makeBenchFolders({ workDir, out });
  if (anew) rmSync(path.join(workDir, 'results'), { recursive: true, force: true });
  const origin = originHere();
  const before = read();
  let code: number = EXIT.done;
  const end = 'ended; what is finished is kept, and the same command goes on from there';
  await interruptible(end, async (signal) => {
    const figures = await spec.measure({
      options,
      quick,
      workDir,
      out,
      dataDir: path.resolve(given.dataDir),
      signal,
      previous: before?.machine === origin.machine ? before : null,
      write: async (soFar) => void (await write({ ...soFar, ...origin })),
      fail: () => {
        code = EXIT.failedRun;
      },
    });
    console.log(`report: ${await write(spec.read?.(options, out) ?? { ...figures, ...origin })}`);
  });
  return code;
}

/** Describes this machine and the current command. */
export function originHere(): Pick<Made<object>, 'machine' | 'command'> {
  return { machine: machine(), command: `npm run study -- ${process.argv.slice(2).join(' ')}` };
}

function valuesOf<Options extends StudyOptions>(
  options: Options,
  isQuick: boolean,
  given: object,
): ValuesOf<Options> {
  const values = Object.entries(options).map(([name, { value, quick }]) => [
    name,
    Reflect.get(given, name) ?? (isQuick ? quick : value),
  ]);
  return Object.fromEntries(values);
}

/** @throws TrainerError `BAD_INPUT` if the file is no JSON */
function readFigures<Figures>(file: string): Made<Figures> | null {
  if (!existsSync(file)) return null;
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new TrainerError('BAD_INPUT', `${file}: no JSON; remove it`, {}, { cause: error });
  }
}
