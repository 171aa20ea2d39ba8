// Original file: proto/coordinator.proto


export interface FaultReplyInput {
}

export interface FaultReply {
}
