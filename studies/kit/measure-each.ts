import { EXIT } from 'locmoe/internal/errors';
import { type MeasuredPart, measureParts } from '../../packages/bench/src/measure-parts.js';
import { type Part, Parts } from './parts.js';
import type { Place } from './study.js';

/** Arguments of a part that measures its figures. */
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
 * them does. Without `--only` a call goes on after the parts that an earlier one has finished.
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
  const named = new Map(
    Object.keys(parts).map((name): [string, Part] => [name, { name, kind: name, key: { quick } }]),
  );
  const kept = only.length === 0 ? new Parts(place, [...named.values()]) : null;
  const code = await measureParts({
    ...place,
    parts,
    only,
    measure: async (name, measure, at) => {
      const run = () => measure({ ...at, quick, dataDir: place.dataDir });
      await add(name, kept === null ? await run() : await kept.do(named.get(name)!, run));
      return { told: 'done', isBroken: false };
    },
  });
  if (code !== EXIT.done) fail();
}
