import { TrainerError } from 'locmoe/internal/errors';
import { computeOnOneThread } from '../../packages/bench/src/one-thread.js';
import { count, text, words } from '../kit/options.js';
import { Parts } from '../kit/parts.js';
import { study } from '../kit/study.js';
import { type Forms, formsView, planForms } from './forms.js';
import { longModel, planLongModel } from './long-model.js';
import { type Lora, loraView, planLora } from './lora.js';
import { planSizes, type Sizes, sizesView } from './sizes.js';
import { planUse, type Use, useView } from './use.js';

/** Parts of the study; the first two are columns of one table. */
const NAMES = ['loss', 'time', 'use', 'sizes', 'lora'] as const;
type Name = (typeof NAMES)[number];

/** A section that has not been measured yet is left out. */
export interface Figures extends Forms {
  readonly use?: Use | undefined;
  readonly sizes?: Sizes | undefined;
  readonly lora?: Lora | undefined;
}

export default study({
  name: 'families',
  description:
    'the families of models at as many operations a token: loss after the same tokens, and time of a step, by router; and of ' +
    "Mixtral's form generation and training with a long window, sizes as GGUF, and low-rank pairs against all weights",
  quick: 'one seed, few steps, a short window',
  options: {
    config: text('<file|recipe>', 'what to train for the table of both families', 'tiny'),
    seeds: count('trainings of each', 3, { quick: 1 }),
    steps: count('steps of each', 400, { quick: 60 }),
    baseSteps: count('steps of a model that is tuned then', 300, { quick: 16, least: 8 }),
    tuneSteps: count('steps of a tuning', 120, { quick: 16, least: 8 }),
    only: words(`what to make: ${NAMES.join(', ')}; the others keep their figures`),
  },

  /** @throws TrainerError `BAD_INPUT` for an unknown part; as `runTraining` and the parts */
  async measure({ options, quick, previous, ...place }): Promise<Figures> {
    const unknown = options.only.find((word) => !NAMES.includes(word as Name));
    if (unknown !== undefined)
      throw new TrainerError('BAD_INPUT', `--only ${unknown}: no such part; parts are ${NAMES.join(', ')}`);
    const makes = (name: Name) => options.only.length === 0 || options.only.includes(name);
    computeOnOneThread();
    const forms = planForms(options, makes);
    const long = longModel(quick);
    const use = planUse(long, place);
    const sizes = planSizes(long, place);
    const model = planLongModel(long, [
      ...(makes('use') ? [use.generation] : []),
      ...(makes('sizes') ? [sizes.part] : []),
    ]);
    const lora = planLora({ ...options, steps: options.tuneSteps });
    const parts = new Parts(place, [
      ...forms.parts,
      ...(makes('use') || makes('sizes') ? [model.part] : []),
      ...(makes('use') ? use.parts : []),
      ...(makes('sizes') ? [sizes.part] : []),
      ...(makes('lora') ? lora.parts : []),
    ]);
    return {
      ...(await forms.make(parts, previous)),
      use: makes('use') ? await use.make(parts, await model.make(parts)) : previous?.use,
      sizes: makes('sizes') ? await sizes.make(parts, await model.make(parts)) : previous?.sizes,
      lora: makes('lora') ? await lora.make(parts) : previous?.lora,
    };
  },

  report: ({ use, sizes, lora, ...forms }) => ({
    view: {
      ...formsView(forms),
      use: use ? useView(use) : null,
      sizes: sizes ? sizesView(sizes) : null,
      lora: lora ? loraView(lora) : null,
    },
  }),
});
