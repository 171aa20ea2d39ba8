import path from 'node:path';
import { loadConfig, recipeFile } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { commonFields } from 'locmoe/internal/routing/common-fields';
import { routerPolicy } from 'locmoe/internal/routing/index';
import { numChoicesOf } from '../plan/routing-model.js';
import type { OverTraining } from './figures.js';

/** Describes what is trained: a router, or the table that it is held against. */
export interface Contender {
  readonly label: string;
  /** Overrides of the recipe. */
  readonly sets: readonly string[];
}

export const RECIPE = recipeFile('gate');
/** Seeds of the screening stage of studies/gates. */
export const SEEDS = [101, 102, 103] as const;

/** Two of sixteen narrow experts do as many operations a token as one of the recipe's eight. */
const SIXTEEN = ['moe.numExperts=16', 'moe.dFeedForward=176'];
/** Overrides of the recipe, by the number of experts that a token takes. */
const WIDTHS = { 1: [], 2: SIXTEEN } as const;
export type NumChoices = keyof typeof WIDTHS;

/** The tables of ids that have as many experts a token as a router, as wide; arms of studies/gates. */
export const TABLES: Readonly<Record<NumChoices, Contender>> = {
  1: { label: 'hash', sets: ['moe.router=hash'] },
  2: { label: 'two tables of the id', sets: [...SIXTEEN, 'moe.router=hash', 'moe.expertsPerToken=2'] },
};

/** A router that is held against its table. */
export interface Entry extends Contender {
  /** Value of `moe.router`, with the hash of the file. */
  readonly router: string;
  readonly numChoices: NumChoices;
}

export interface EntryOptions {
  /** Value of `moe.router`. */
  readonly router: string;
  /** Overrides of the router's own fields. */
  readonly set: readonly string[];
  /** Experts that a token takes, if the router's rule does not say it. */
  readonly choices?: number;
}

/**
 * Resolves a router in the recipe of its number of choices.
 *
 * @throws TrainerError `BAD_INPUT` for an override of the recipe, or if it is not known that a token takes one
 *   expert or two; `BAD_CONFIG` as `loadConfig`
 */
export function entryOf({ router, set, choices }: EntryOptions): Entry {
  const fixed = set.find((each) => !isOfRouter(each));
  if (fixed !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `--set ${fixed}: the recipe is fixed; only fields of the router may be set, as in moe.routerOptions.NAME=VALUE`,
    );
  const resolved = (width: readonly string[]) =>
    loadConfig(RECIPE, { sets: [...width, `moe.router=${router}`, ...set] });
  const inRule = numChoicesInRule(resolved(choices === 2 ? SIXTEEN : []));
  const taken = inRule ?? choices;
  if (taken === undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `${router}: has no rule that says how many experts a token takes; give --choices 1 or --choices 2`,
    );
  if (taken !== 1 && taken !== 2)
    throw new TrainerError(
      'BAD_INPUT',
      `${router}: a token takes ${taken} experts, and there are tables of one and of two alone`,
    );
  if (choices !== undefined && taken !== choices)
    throw new TrainerError('BAD_INPUT', `--choices ${choices}: by the rule of ${router} it is ${taken}`);
  const name = resolved(WIDTHS[taken]).moe.router;
  const own = set.map((each) => each.replace(/^moe\.(routerOptions\.)?/, ''));
  return {
    label: [path.basename(router), ...own].join(' '),
    router: name,
    numChoices: taken,
    // By the name with the hash, so that a file which changes meanwhile is refused.
    sets: [...WIDTHS[taken], `moe.router=${name}`, ...set],
  };
}

/** @throws TrainerError `BAD_INPUT` if the tokens of a run had more experts than the router's table has */
export function assertChoices({ label, numChoices }: Entry, expertsPerToken: OverTraining | null): void {
  if (expertsPerToken === null || expertsPerToken.mean <= numChoices) return;
  throw new TrainerError(
    'BAD_INPUT',
    `${label}: a token had ${expertsPerToken.mean.toFixed(2)} experts on average, and not at most ${numChoices}; say with --choices how many it takes, at most 2`,
  );
}

/** Tells whether an override is of the router alone, or of the loss that balances what it chooses. */
function isOfRouter(set: string): boolean {
  const [, field] = /^moe\.(\w+)/.exec(set) ?? [];
  if (field === undefined || field === 'router' || field === 'expertStorage') return false;
  return field === 'auxiliaryLossWeight' || !Object.hasOwn(commonFields, field);
}

/** Returns the most experts that a token takes; null if the router has no rule. */
function numChoicesInRule({ moe, model }: RunConfig): number | null {
  const rule = routerPolicy(moe.router).rule(moe, model.dModel);
  return rule && numChoicesOf(rule.choose);
}
