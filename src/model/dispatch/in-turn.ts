import { gatherRows } from '../../ops/gather-rows.js';
import { lastUse } from '../../ops/last-use.js';
import { scatterRows } from '../../ops/scatter-rows.js';
import type { LayerContext } from './all-to-all-rows.js';
import { combine, dispatch, dispatchLayout } from './dispatch-layout.js';
import type { Dispatcher } from './dispatcher.js';

/** Dispatch, experts and combine one after the other: two all-to-alls forward, two backward. */
export function inTurn(context: LayerContext): Dispatcher {
  return (xTD, decision, experts) => {
    const layout = dispatchLayout(decision, context.communicator.topology, decision.keptOfRank);
    const { scatter, rowsOfLocalExpert } = layout;
    const rowsRD = lastUse(gatherRows(xTD, scatter.tokensN), (rowsND) => dispatch(rowsND, layout, context));
    const outputsRD = lastUse(rowsRD, (rows) => experts.run(rows, rowsOfLocalExpert));
    const outputsND = lastUse(outputsRD, (outputs) => combine(outputs, layout, context));
    return lastUse(outputsND, (outputs) => scatterRows(outputs, decision.weightsTK, scatter));
  };
}
