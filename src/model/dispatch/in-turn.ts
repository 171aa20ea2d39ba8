import { gatherRows } from '../../ops/gather-rows.js';
import { scatterRows } from '../../ops/scatter-rows.js';
import type { LayerContext } from './all-to-all-rows.js';
import { combine, dispatch, dispatchLayout } from './dispatch-layout.js';
import type { Dispatcher } from './dispatcher.js';

/** Dispatch, experts and combine one after the other: two all-to-alls forward, two backward. */
export function inTurn(context: LayerContext): Dispatcher {
  return (xTD, decision, experts) => {
    const layout = dispatchLayout(decision, context.communicator.topology, decision.keptOfRank);
    const rowsRD = dispatch(gatherRows(xTD, layout.scatter.tokensN), layout, context);
    const outputsND = combine(experts.run(rowsRD, layout.rowsOfLocalExpert), layout, context);
    return scatterRows(outputsND, decision.weightsTK, layout.scatter);
  };
}
