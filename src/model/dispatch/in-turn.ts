import { gatherRows } from '../../ops/gather-rows.js';
import { scatterRows } from '../../ops/scatter-rows.js';
import type { LayerContext } from './all-to-all-rows.js';
import { combine, dispatch, planDispatch } from './dispatch-layout.js';
import type { Dispatcher } from './dispatcher.js';

/** Dispatch, experts and combine one after the other: two all-to-alls forward, two backward. */
export function inTurn(context: LayerContext): Dispatcher {
  return (xTD, decision, experts) => {
    const plan = planDispatch(decision, context.communicator.topology, decision.keptOfRank);
    const rowsRD = dispatch(gatherRows(xTD, plan.scatter.tokensN), plan, context);
    const outputsND = combine(experts.run(rowsRD, plan.rowsOfLocalExpert), plan, context);
    return scatterRows(outputsND, decision.weightsTK, plan.scatter);
  };
}
