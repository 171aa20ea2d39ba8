import { type RunEvidence, stepsOf } from './evidence.js';

const total = (values: readonly number[]) => values.reduce((sum, each) => sum + each, 0);

/** I6: every routed token was combined or is counted as dropped, at every expert, and travelled somewhere. */
export function tokensAreConserved({ records }: RunEvidence): string[] {
  return stepsOf(records).flatMap(({ step, layers }) =>
    layers.flatMap((layer) => {
      const { routed, kept, overCapacity, notChosen, sameWorker, sameNode, otherNode } = layer;
      const place = `step ${step}, layer ${layer.layer}`;
      const expert = routed.findIndex((each, i) => each !== kept[i]! + overCapacity[i]! + notChosen[i]!);
      const travelled = sameWorker + sameNode + otherNode;
      return [
        ...(expert < 0
          ? []
          : [
              `${place}, expert ${expert}: ${routed[expert]} routed, ${kept[expert]} kept, ${overCapacity[expert]} over capacity, ${notChosen[expert]} not chosen`,
            ]),
        ...(travelled === total(kept) ? [] : [`${place}: ${total(kept)} kept, and ${travelled} travelled`]),
      ];
    }),
  );
}
