import type { ProbeData } from 'locmoe/internal/evaluation/routes/probe-data';
import type { ExpertRoutes, RecordedSteps, SequenceRoutes, StepRoutes } from '../api-routes.js';
import { BadRequest, notFound } from '../run-catalog.js';
import type { ListedRun } from '../run-item.js';
import { RoutesReader } from './routes-reader.js';
import { filesOfProbe, filesOfStep, recordedSteps } from './run-routes.js';

/** Strings of an address that stand for whole numbers. */
type Texts<Name extends string> = Readonly<Record<Name, string>>;

/** Answers what the page asks about recorded routes. */
export class RoutesApi {
  readonly #reader = new RoutesReader();

  steps(run: ListedRun): RecordedSteps {
    return recordedSteps(run);
  }

  /** Returns the probe of a run; it has no steps if none were recorded. */
  async probe(run: ListedRun): Promise<ProbeData> {
    const question = { about: 'probe', name: run.folder.runId } as const;
    return (await this.#reader.ask(filesOfProbe(run), question)) as ProbeData;
  }

  /** @throws BadRequest for an invalid number, NotFound without routes, TrainerError if they cannot be read */
  async step(run: ListedRun, step: string): Promise<StepRoutes> {
    return (await this.#reader.ask(filesOfStep(run, wholeNumber('step', step)), {
      about: 'step',
    })) as StepRoutes;
  }

  /** @throws BadRequest for an invalid number, NotFound without routes, TrainerError if they cannot be read */
  async sequence(run: ListedRun, texts: Texts<'step' | 'sequence' | 'from'>): Promise<SequenceRoutes> {
    const [sequence, from] = [wholeNumber('sequence', texts.sequence), wholeNumber('from', texts.from)];
    const files = filesOfStep(run, wholeNumber('step', texts.step));
    const reply = await this.#reader.ask(files, { about: 'sequence', sequence, from });
    return (reply ??
      notFound(`sequence ${sequence} is not recorded of step ${files.step}`)) as SequenceRoutes;
  }

  /** @throws BadRequest for an invalid number, NotFound without routes, TrainerError if they cannot be read */
  async expert(run: ListedRun, texts: Texts<'step' | 'layer' | 'expert'>): Promise<ExpertRoutes> {
    const [layer, expert] = [wholeNumber('layer', texts.layer), wholeNumber('expert', texts.expert)];
    const files = filesOfStep(run, wholeNumber('step', texts.step));
    const reply = await this.#reader.ask(files, { about: 'expert', layer, expert });
    return (reply ??
      notFound(
        `no recorded token of step ${files.step} chose expert ${expert} in layer ${layer}`,
      )) as ExpertRoutes;
  }

  close(): void {
    this.#reader.close();
  }
}

/** @throws BadRequest if the text is not a whole number from 0 */
function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new BadRequest(`${name} ${text.slice(0, 40)}: give a whole number from 0`);
  return Number(text);
}
