import { numStepsOf } from '@locmoe/run-format';
import { inspectRoutes, type RoutesFacts, readRouteColumns } from '@locmoe/run-format/routes-file';
import { assertSameRoutes, HOW_TO_RECORD, placeOfRoutes, routeFilesAt } from '../config/named-routes.js';
import type { RunConfig } from '../config/schema.js';
import type { Loader } from '../data/loader.js';
import { TrainerError } from '../errors.js';
import type { Tokens } from '../model/language-model.js';
import { type GivenChoices, KEPT, NOT_CHOSEN, OVER_CAPACITY } from '../routing/choices/given-choices.js';
import { type PlacedBatch, placed } from './placed-batch.js';

// Shapes: B sequences of S tokens each, T = B S, K choices of a token.

const COLUMNS = [
  ...(['layer', 'sequence', 'position', 'token'] as const),
  ...(['choice', 'expert', 'weight', 'outcome'] as const),
];
const OUTCOMES = { kept: KEPT, 'over capacity': OVER_CAPACITY, 'not chosen': NOT_CHOSEN } as const;

/** A sequence of this rank, and the point that the rows of each sparse layer have reached in it. */
interface Target {
  readonly batch: Tokens;
  readonly row: number;
  /** Choices of each sparse layer for the batch. */
  readonly givenOfLayer: readonly GivenChoices[];
  /** By sparse layer: index in the sequence of the last row's token, -1 before the first row; that row's choice. */
  readonly tokenOfLayer: Int32Array;
  readonly choiceOfLayer: Int32Array;
}

interface StepFile {
  readonly file: string;
  readonly facts: RoutesFacts;
}

/** Replays recorded routes. Only the choices of one step are in memory at a time. */
export class RecordedRoutes {
  /** @param filesOfStep files by step; the files under null belong to every step without an entry */
  constructor(
    private readonly config: Pick<RunConfig, 'model' | 'moe' | 'train'>,
    private readonly filesOfStep: ReadonlyMap<number | null, readonly string[]>,
  ) {}

  /**
   * Checks that all steps from `first` on were recorded completely, by the number of their rows.
   *
   * @throws TrainerError `BAD_INPUT` if a step is incomplete
   */
  async assertRecorded(first: number, last: number): Promise<void> {
    const { model, train } = this.config;
    const least = train.globalBatch * model.seqLen * model.numSparseLayers;
    for (let step = first; step <= last; step++) {
      const files = await this.#filesOf(step);
      const numRows = files.reduce((sum, { facts }) => sum + facts.numRows, 0);
      if (numRows < least)
        throw bad(
          files[0]!.file,
          `step ${step} has ${numRows} recorded choices, and its tokens need at least ${least}; ${HOW_TO_RECORD}`,
        );
    }
  }

  /**
   * Reads the choices of a step's batches.
   *
   * @returns choices by batch and sparse layer
   * @throws TrainerError `BAD_INPUT` if a sequence was not recorded, or was recorded with other tokens
   */
  async choicesOf(
    step: number,
    batches: readonly PlacedBatch[],
  ): Promise<readonly (readonly GivenChoices[])[]> {
    const files = await this.#filesOf(step);
    const [first] = files as [StepFile, ...StepFile[]];
    const numChoices = 1 + Math.max(...files.map(({ file, facts }) => rangeOf(file, facts, 'choice')[1]));
    const isWeighted = files.some(({ file, facts }) =>
      rangeOf(file, facts, 'weight').some((end) => end !== 1),
    );
    const givenOfBatch = batches.map(({ batch }) => this.#emptyChoices(batch, numChoices, isWeighted));
    const targets = this.#targetsOf(batches, givenOfBatch);
    for (const { file, facts } of files) {
      const [least, greatest] = rangeOf(file, facts, 'sequence');
      if ([...targets.keys()].some((sequence) => sequence >= least && sequence <= greatest))
        await this.#fill(step, file, targets);
    }
    const where = (sequence: number, layer: number) =>
      `${nameOf(step)}, sequence ${sequence}, layer ${layer}`;
    const { numDenseLayers } = this.config.model;
    for (const [sequence, [target]] of targets) {
      const absent = target!.tokenOfLayer.indexOf(-1);
      if (absent >= 0)
        throw bad(
          first.file,
          `${where(sequence, numDenseLayers + absent)}: was not recorded; ${HOW_TO_RECORD}`,
        );
    }
    return givenOfBatch;
  }

  /** Returns the files of a step that have rows, after checking that they fit this model. */
  async #filesOf(step: number): Promise<StepFile[]> {
    const names = this.filesOfStep.get(step) ?? this.filesOfStep.get(null);
    if (names === undefined) {
      const [[some]] = this.filesOfStep.values() as unknown as [string[]];
      throw bad(some!, `its folder has no recorded routes of step ${step}; ${HOW_TO_RECORD}`);
    }
    const files: StepFile[] = [];
    for (const file of names) {
      const facts = await inspectRoutes(file);
      if (facts.numRows === 0) continue;
      this.#assertFits(file, facts);
      files.push({ file, facts });
    }
    if (files.length === 0) throw bad(names[0]!, `has no choices; ${HOW_TO_RECORD}`);
    return files;
  }

  #assertFits(file: string, facts: RoutesFacts): void {
    const { model, moe } = this.config;
    const { numExperts } = moe;
    const experts = facts.numExperts ?? numExperts;
    const [, lastExpert] = rangeOf(file, facts, 'expert');
    if (experts !== numExperts || lastExpert >= numExperts)
      throw bad(
        file,
        `was recorded with ${Math.max(experts, lastExpert + 1)} experts in a layer, and moe.numExperts is ${numExperts}`,
      );
    const [firstChoice, lastChoice] = rangeOf(file, facts, 'choice');
    if (!Number.isInteger(lastChoice) || firstChoice < 0 || lastChoice >= numExperts)
      throw bad(
        file,
        `numbers the choices of a token ${firstChoice} to ${lastChoice}, where moe.numExperts, ${numExperts}, allows 0 to ${numExperts - 1}`,
      );
    const [firstLayer, lastLayer] = rangeOf(file, facts, 'layer');
    const end = model.numDenseLayers + model.numSparseLayers;
    if (firstLayer !== model.numDenseLayers || lastLayer + 1 !== end)
      throw bad(
        file,
        `has routes of layers ${firstLayer} to ${lastLayer}, and the sparse layers of this model are ` +
          `${model.numDenseLayers} to ${end - 1}`,
      );
  }

  #emptyChoices({ numSequences, seqLen }: Tokens, numChoices: number, isWeighted: boolean): GivenChoices[] {
    const length = numSequences * seqLen * numChoices;
    return Array.from({ length: this.config.model.numSparseLayers }, () => ({
      numChoices,
      chosenTK: new Int32Array(length).fill(-1),
      outcomesTK: new Uint8Array(length),
      weightsTK: isWeighted ? new Float32Array(length) : null,
      areRecorded: true,
    }));
  }

  /** Returns the rows of all batches by sequence; padding repeats a sequence of a validation batch in several rows. */
  #targetsOf(
    batches: readonly PlacedBatch[],
    givenOfBatch: readonly (readonly GivenChoices[])[],
  ): Map<number, Target[]> {
    const numLayers = this.config.model.numSparseLayers;
    const targets = new Map<number, Target[]>();
    for (const [i, { batch, sequences }] of batches.entries())
      for (let row = 0; row < batch.numSequences; row++) {
        const ofSequence = targets.get(sequences[row]!) ?? [];
        targets.set(sequences[row]!, ofSequence);
        ofSequence.push({
          batch,
          row,
          givenOfLayer: givenOfBatch[i]!,
          tokenOfLayer: new Int32Array(numLayers).fill(-1),
          choiceOfLayer: new Int32Array(numLayers),
        });
      }
    return targets;
  }

  async #fill(step: number, file: string, targets: ReadonlyMap<number, readonly Target[]>): Promise<void> {
    const table = await readRouteColumns(file, COLUMNS);
    const { numDenseLayers } = this.config.model;
    table.sequence.forEach((sequence, i) => {
      for (const target of targets.get(sequence) ?? []) {
        const [layer, choice, position] = [
          table.layer[i]! - numDenseLayers,
          table.choice[i]!,
          table.position[i]!,
        ];
        const s = advance(target, layer, position, choice);
        const token = target.batch.tokenIds[target.row * target.batch.seqLen + s];
        if (token !== table.token[i])
          throw bad(
            file,
            `${nameOf(step)}, sequence ${sequence}, position ${position}: token ${table.token[i]} was recorded, and here ` +
              `it is ${token ?? 'not there'}; replay needs the same text, tokenizer, seed and batch`,
          );
        const { numChoices, chosenTK, outcomesTK, weightsTK } = target.givenOfLayer[layer]!;
        if (!(choice < numChoices && table.expert[i]! < this.config.moe.numExperts))
          throw bad(
            file,
            `${nameOf(step)}, sequence ${sequence}: a row is outside the statistics of its file, which is damaged`,
          );
        const at = (target.row * target.batch.seqLen + s) * numChoices + choice;
        chosenTK[at] = table.expert[i]!;
        outcomesTK[at] = OUTCOMES[table.outcome[i]!];
        if (weightsTK !== null) weightsTK[at] = table.weight[i]!;
      }
    });
  }
}

/**
 * Checks that all steps from `first` on were recorded completely, and that the first has the text of this run.
 *
 * @param loader loader of whole global batches
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` if they cannot be replayed
 */
export async function assertReplayable(config: RunConfig, loader: Loader, first: number): Promise<void> {
  const place = placeOfRoutes(config.train.routes);
  if (place === null) return;
  assertSameRoutes(config.train.routes);
  const recorded = new RecordedRoutes(config, routeFilesAt(place));
  await recorded.assertRecorded(first, numStepsOf(config));
  const batches = [loader.globalBatchForStep(first - 1)];
  await recorded.choicesOf(first, placed(config, loader, [first - 1], batches));
}

/**
 * Advances to the token of a row: rows are in the order of the tokens, and positions count within a packed sample.
 *
 * @returns the token's index in the sequence; seqLen if there is no such token
 */
function advance(
  { batch, row, tokenOfLayer, choiceOfLayer }: Target,
  layer: number,
  position: number,
  choice: number,
): number {
  const { seqLen, packed } = batch;
  const positionOf = (s: number) => packed?.positions[row * seqLen + s] ?? s;
  let s = tokenOfLayer[layer]!;
  const isSame = s >= 0 && s < seqLen && positionOf(s) === position && choice > choiceOfLayer[layer]!;
  if (!isSame)
    do s++;
    while (s < seqLen && positionOf(s) !== position);
  tokenOfLayer[layer] = s;
  choiceOfLayer[layer] = choice;
  return s;
}

/** @throws TrainerError `BAD_INPUT` if the file has no statistics of the column */
function rangeOf(
  file: string,
  { rangeOf }: RoutesFacts,
  column: 'choice' | 'sequence' | 'expert' | 'layer' | 'weight',
): readonly [number, number] {
  const range = rangeOf(column);
  if (range === null)
    throw bad(
      file,
      `has no min and max statistics of column ${column}, which files that locmoe recorded have`,
    );
  return range;
}

function bad(file: string, why: string): TrainerError {
  return new TrainerError('BAD_INPUT', `${file}: ${why}`);
}

/** Returns the name of a step in messages. */
export function nameOf(step: number): string {
  return step === 0 ? 'validation' : `step ${step}`;
}
