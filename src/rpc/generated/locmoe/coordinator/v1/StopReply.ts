// Original file: proto/coordinator.proto


export interface StopReplyInput {
}

export interface StopReply {
}
