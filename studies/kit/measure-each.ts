import { EXIT } from 'locmoe/internal/errors';
import { type MeasuredPart, measureParts } from '../../packages/bench/src/measure-parts.js';
import { type Part, Parts } from './parts.js';
import type { Place } from './study.js';

/** What a part is given to measure its figures. */
export interface PartPlace extends MeasuredPart {
  readonly quick: boolean;
  readonly dataDir: string;
}

/** Measures some figures of a study. @throws if it cannot: these figures then stay as they were */
export type MeasurePart<Result> = (place: PartPlace) => Promise<Result>;

type StudyPlace = Pick<
  Place<{ readonly only: readonly string[] }, unknown>,
  'options' | 'quick' | 'workDir' | 'out' | 'dataDir' | 'fail'
>;

/**
 * Measures part after part, so that one that fails or is interrupted takes nothing from the others. The study fails if one of
 * them does.
 *
 * @param parts loaded when their turn comes
 * @param add takes the result of a part into the report
 * @throws TrainerError `BAD_INPUT` for an unknown part; `INTERRUPTED`
 */
export async function measureEach<Result extends object>(
  { options: { only }, quick, fail, ...place }: StudyPlace,
  parts: Readonly<Record<string, () => Promise<MeasurePart<Result>>>>,
  add: (name: string, result: Result) => Promise<void>,
): Promise<void> {
  const wanted = Object.keys(parts).filter((name) => only.length === 0 || only.includes(name));
  const named = new Map(wanted.map((name): [string, Part] => [name, { name, kind: name, key: { quick } }]));
  let kept: Parts | undefined;
  const code = await measureParts({
    ...place,
    parts,
    only,
    measure: async (name, measure, at) => {
      kept ??= new Parts(place, [...named.values()]);
      const run = () => measure({ ...at, quick, dataDir: place.dataDir });
      await add(name, await kept.do(named.get(name)!, run));
      return { told: 'done', isBroken: false };
    },
  });
  if (code !== EXIT.done) fail();
}
