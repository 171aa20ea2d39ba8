import type { Transport } from '../collectives/transport.js';
import { isRule, placeOfRoutes, routeFilesAt } from '../config/named-routes.js';
import type { RunConfig } from '../config/schema.js';
import type { Batch, ValidationBatch } from '../data/batch.js';
import type { Loader } from '../data/loader.js';
import { TrainerError } from '../errors.js';
import type { DecisionChange } from '../model/moe-layer.js';
import { balancedChoices, randomChoices } from '../routing/choices/drawn-choices.js';
import type { GivenChoices } from '../routing/choices/given-choices.js';
import { replaceChoices } from '../routing/choices/replaced-choices.js';
import { expertsOfDomain } from '../routing/index.js';
import type { RoutingDecision } from '../routing/router.js';
import { type PlacedBatch, placed, validationPlaced } from './placed-batch.js';
import { nameOf, RecordedRoutes } from './recorded-routes.js';

/** Source of choices that replace those of the routers. */
export interface RouteSource {
  /**
   * Prepares a step; step 0 is a validation.
   *
   * @returns the changes of the routing decisions, by batch
   * @throws TrainerError `BAD_INPUT` if the choices of one of the step's tokens were not recorded
   */
  changesOf(step: number, batches: readonly PlacedBatch[]): Promise<readonly DecisionChange[]>;
}

/**
 * Opens the source that `routes` names: a rule, or a place of recorded routes.
 *
 * @param filesAt lists the files of the place, in the form that RecordedRoutes takes
 */
export function drawnOrRecorded(
  config: RunConfig,
  routes: string,
  filesAt: () => ReadonlyMap<number | null, readonly string[]>,
  transport: Transport,
): RouteSource {
  if (routes === 'random' || routes === 'balanced') return drawnRoutes(config, routes, transport);
  return recordedRoutes(config, filesAt(), transport);
}

interface TrainingRoutes {
  /** Changes of the validation's batches; undefined if the routers choose during validation. */
  readonly ofValidation: readonly DecisionChange[] | undefined;
  /**
   * Does the same as in `RouteSource`.
   *
   * @param microBatches numbers of the step's micro-batches, counted over the whole run
   */
  changesOf(
    step: number,
    microBatches: readonly number[],
    batches: readonly Batch[],
  ): Promise<readonly DecisionChange[]>;
}

/** Opens the choices of a run whose `train.routes` is not `router`. */
export async function openTrainingRoutes(
  config: RunConfig,
  transport: Transport,
  loader: Loader,
  validation: readonly ValidationBatch[],
): Promise<TrainingRoutes> {
  const { routes } = config.train;
  const source = drawnOrRecorded(config, routes, () => routeFilesAt(placeOfRoutes(routes)!), transport);
  return {
    // Recorded routes cover the training text only.
    ofValidation: isRule(routes) ? await source.changesOf(0, validationPlaced(validation)) : undefined,
    changesOf: (step, microBatches, batches) =>
      source.changesOf(step, placed(config, loader, microBatches, batches)),
  };
}

/** @param choices rule by which the experts of a token are drawn */
function drawnRoutes(
  { data, moe, seed }: RunConfig,
  choices: 'balanced' | 'random',
  transport: Transport,
): RouteSource {
  const openExperts = expertsOfDomain(data.domains.length, moe);
  return {
    changesOf: async (step, batches) =>
      batches.map(({ batch, sequences, turns }) => (layer, own) => {
        const open = Array.from(batch.domains, (domain) => openExperts[domain]!);
        const drawn = { step, layer, seqLen: batch.seqLen, sequences, openExperts: open };
        const given =
          choices === 'random'
            ? randomChoices(drawn, own.numChoices, seed)
            : balancedChoices(drawn, own.numChoices, turns);
        return replaceChoices(own, given, { transport, layer });
      }),
  };
}

/** @param filesOfStep as in RecordedRoutes */
function recordedRoutes(
  config: RunConfig,
  filesOfStep: ReadonlyMap<number | null, readonly string[]>,
  transport: Transport,
): RouteSource {
  const recorded = new RecordedRoutes(config, filesOfStep);
  return {
    async changesOf(step, batches) {
      const choices = await recorded.choicesOf(step, batches);
      return batches.map(({ batch, sequences }, i) => (layer, own) => {
        const given = choices[i]![layer - config.model.numDenseLayers]!;
        const lost = lostToken(own, given);
        if (lost >= 0)
          throw new TrainerError(
            'BAD_INPUT',
            `${nameOf(step)}, sequence ${sequences[Math.floor(lost / batch.seqLen)]}, layer ${layer}: no choice of token ` +
              `${lost % batch.seqLen} was recorded, for which the router has one`,
          );
        return replaceChoices(own, given, { transport, layer });
      });
    },
  };
}

/** Finds a token for which the router has a choice and nothing was recorded; -1 if there is none. */
function lostToken(own: RoutingDecision, { chosenTK, numChoices }: GivenChoices): number {
  const numTokens = chosenTK.length / numChoices;
  const hasChoice = (choices: Int32Array, width: number, t: number) => {
    for (let at = t * width; at < (t + 1) * width; at++) if (choices[at]! >= 0) return true;
    return false;
  };
  for (let t = 0; t < numTokens; t++)
    if (!hasChoice(chosenTK, numChoices, t) && hasChoice(own.chosenTK, own.numChoices, t)) return t;
  return -1;
}
