/** A question, the request that it becomes, and the turn that stands for it. Pure. */
import type {
  IPill,
  ITurn,
  ITurnCreated,
  ITurnRequest,
  Mode,
  SentPart
} from '../wire/types';
import type { IChatState } from './state';
import { lastInLine, type Turns } from './tree';

/** What a question is made of; its parts, where they are there, were read a moment ago. */
export interface IQuestion {
  text?: string;
  context?: SentPart[];
  /** how the parts are shown until the server answers */
  pills?: IPill[];
  mode?: Mode;
  /** left out: after the last turn; null: a new first turn; an id: a branch */
  parentId?: string | null;
  copyOf?: string;
  continueOf?: string;
  /** ask there; left out: in the conversation shown. '': in a new one */
  conversationId?: string;
  /** posted before with this key; left out: a new question */
  key?: string;
}

/** The same again, in the place of this turn. */
export function copyOf(turn: ITurn): IQuestion {
  return {
    copyOf: turn.id,
    parentId: turn.parent_id,
    mode: turn.mode,
    pills: turn.pills
  };
}

export function requestFor(
  question: IQuestion,
  key: string,
  conversationId: string,
  state: IChatState
): ITurnRequest {
  return {
    request_key: key,
    mode: question.mode ?? 'ask',
    conversation_id: conversationId || undefined,
    parent_id: question.parentId,
    model: modelNow(state),
    text: question.text,
    context: question.context,
    copy_of: question.copyOf,
    continue_of: question.continueOf
  };
}

/** Characters in a token, rather too many: no text that the model could read is left behind. */
const TOKEN = 4;

/** Characters that the model of the next question can read in all; undefined: not known yet. */
export function mostReadable(state: IChatState): number | undefined {
  const models = state.status?.models ?? [];
  const id = modelNow(state) ?? state.status?.default_model;
  const length = models.find(model => model.id === id)?.context_length;
  return length ? length * TOKEN : undefined;
}

/** The model chosen, unless the server has it no more: then its default. */
function modelNow({ status, model }: IChatState): string | undefined {
  const known = status === null || status.models.some(m => m.id === model);
  return model !== null && known ? model : undefined;
}

/** The turn as it is shown until its events say more. */
export function newTurn(
  created: ITurnCreated,
  question: IQuestion,
  request: ITurnRequest,
  { turns, head }: IChatState
): ITurn {
  const source = question.copyOf ? turns.get(question.copyOf) : null;
  return {
    id: created.turn_id,
    conversation_id: created.conversation_id,
    parent_id:
      question.parentId !== undefined
        ? question.parentId
        : (lastInLine(turns) ?? head),
    state: created.state,
    mode: request.mode ?? 'ask',
    text: question.text ?? source?.text ?? '',
    created: afterAll(turns),
    pills: question.pills ?? source?.pills,
    continue_of: question.continueOf,
    model: request.model,
    cursor: '0'
  };
}

/** Now, and later than all that is known: the clocks may differ. In seconds. */
function afterAll(turns: Turns): number {
  const created = [...turns.values()].map(turn => turn.created);
  return Math.max(Date.now() / 1000, ...created.map(at => at + 0.001));
}
