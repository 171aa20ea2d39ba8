import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { CollectivesClient as _locmoe_collectives_v1_CollectivesClient, CollectivesDefinition as _locmoe_collectives_v1_CollectivesDefinition } from './locmoe/collectives/v1/Collectives.js';
import type { CreditInput as _locmoe_collectives_v1_CreditInput, Credit as _locmoe_collectives_v1_Credit } from './locmoe/collectives/v1/Credit.js';
import type { FetchChunkInput as _locmoe_collectives_v1_FetchChunkInput, FetchChunk as _locmoe_collectives_v1_FetchChunk } from './locmoe/collectives/v1/FetchChunk.js';
import type { FetchRequestInput as _locmoe_collectives_v1_FetchRequestInput, FetchRequest as _locmoe_collectives_v1_FetchRequest } from './locmoe/collectives/v1/FetchRequest.js';
import type { FrameInput as _locmoe_collectives_v1_FrameInput, Frame as _locmoe_collectives_v1_Frame } from './locmoe/collectives/v1/Frame.js';
import type { OpenInput as _locmoe_collectives_v1_OpenInput, Open as _locmoe_collectives_v1_Open } from './locmoe/collectives/v1/Open.js';
import type { PullRequestInput as _locmoe_collectives_v1_PullRequestInput, PullRequest as _locmoe_collectives_v1_PullRequest } from './locmoe/collectives/v1/PullRequest.js';
import type { SnapshotFileInput as _locmoe_collectives_v1_SnapshotFileInput, SnapshotFile as _locmoe_collectives_v1_SnapshotFile } from './locmoe/collectives/v1/SnapshotFile.js';
import type { SnapshotsClient as _locmoe_collectives_v1_SnapshotsClient, SnapshotsDefinition as _locmoe_collectives_v1_SnapshotsDefinition } from './locmoe/collectives/v1/Snapshots.js';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  locmoe: {
    collectives: {
      v1: {
        /**
         * The data plane between node agents. The receiver opens the call and the sender serves it, because bulk data
         * flows several times faster from server to client, where grpc-js applies a configurable flow-control window.
         */
        Collectives: SubtypeConstructor<typeof grpc.Client, _locmoe_collectives_v1_CollectivesClient> & { service: _locmoe_collectives_v1_CollectivesDefinition }
        Credit: MessageTypeDefinition<_locmoe_collectives_v1_CreditInput, _locmoe_collectives_v1_Credit>
        FetchChunk: MessageTypeDefinition<_locmoe_collectives_v1_FetchChunkInput, _locmoe_collectives_v1_FetchChunk>
        FetchRequest: MessageTypeDefinition<_locmoe_collectives_v1_FetchRequestInput, _locmoe_collectives_v1_FetchRequest>
        Frame: MessageTypeDefinition<_locmoe_collectives_v1_FrameInput, _locmoe_collectives_v1_Frame>
        Open: MessageTypeDefinition<_locmoe_collectives_v1_OpenInput, _locmoe_collectives_v1_Open>
        PullRequest: MessageTypeDefinition<_locmoe_collectives_v1_PullRequestInput, _locmoe_collectives_v1_PullRequest>
        SnapshotFile: MessageTypeDefinition<_locmoe_collectives_v1_SnapshotFileInput, _locmoe_collectives_v1_SnapshotFile>
        /**
         * Copies of the ranks' state in the memory of the nodes.
         */
        Snapshots: SubtypeConstructor<typeof grpc.Client, _locmoe_collectives_v1_SnapshotsClient> & { service: _locmoe_collectives_v1_SnapshotsDefinition }
      }
    }
  }
}

