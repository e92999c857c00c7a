/**
 * The contract with the workspace server, in TypeScript: the same names as
 * jupyter_ext/cellar/wire. A field with a default is left out of the JSON
 * when it holds it, so everything that has one is optional here. Readers ignore
 * what they do not know. Golden files in tests/contract keep both honest.
 */

export type Mode = 'ask' | 'edit' | 'agent' | 'compact';

export type TurnState =
  | 'pending'
  | 'held'
  | 'queued'
  | 'running'
  | 'complete'
  | 'length'
  | 'stopped'
  | 'interrupted'
  | 'tool_limit'
  | 'error';

export type FinishReason =
  'complete' | 'length' | 'stopped' | 'interrupted' | 'tool_limit';

export const FINAL_STATES: ReadonlySet<TurnState> = new Set<TurnState>([
  'complete',
  'length',
  'stopped',
  'interrupted',
  'tool_limit',
  'error'
]);

// Context: what travels with a question.

export interface IImage {
  mime: 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp';
  /** base64 without a data: prefix */
  data: string;
}

export interface IOutput {
  kind: 'stdout' | 'stderr' | 'result' | 'display' | 'error';
  text?: string;
  image?: IImage;
  /** characters already left out, head and tail kept */
  cut?: number;
  /** names the content, whole or not: the same mark, the same output */
  mark?: string;
}

export interface ICell {
  id: string;
  kind: 'code' | 'markdown' | 'raw';
  source?: string;
  execution_count?: number;
  outputs?: IOutput[];
}

export interface INotebookPart {
  type: 'notebook';
  path: string;
  cells: ICell[];
  language?: string;
  active_cell?: string;
  auto?: boolean;
}

export interface ICellsPart {
  type: 'cells';
  path: string;
  cells: ICell[];
  language?: string;
  auto?: boolean;
}

export interface ISelectionPart {
  type: 'selection';
  path: string;
  text: string;
  cell_id?: string;
  start_line?: number;
  end_line?: number;
  language?: string;
  auto?: boolean;
}

export interface IFilePart {
  type: 'file';
  path: string;
  /** the editor's unsaved state; without it the server reads the file */
  text?: string;
  auto?: boolean;
}

export interface IFolderPart {
  type: 'folder';
  path: string;
  auto?: boolean;
}

export interface IErrorPart {
  type: 'error';
  path: string;
  cell: ICell;
  language?: string;
  auto?: boolean;
}

export interface IImagePart {
  type: 'image';
  name: string;
  image: IImage;
  auto?: boolean;
}

/** Attached, and no longer there when the question is sent: only its name travels. */
export interface IGonePart {
  type: 'gone';
  kind: 'cells' | 'selection' | 'error';
  path: string;
  label: string;
  auto?: boolean;
}

export type SentPart = ContextPart | IGonePart;

export type ContextPart =
  | INotebookPart
  | ICellsPart
  | ISelectionPart
  | IFilePart
  | IFolderPart
  | IErrorPart
  | IImagePart;

// What the browser posts.

export interface ITurnRequest {
  request_key: string;
  mode?: Mode;
  conversation_id?: string;
  /** left out: after the last turn; null: a new first turn */
  parent_id?: string | null;
  model?: string;
  text?: string;
  context?: SentPart[];
  copy_of?: string;
  continue_of?: string;
}

export interface ITurnPatch {
  text?: string;
  context?: SentPart[];
  /** true: it is edited and does not start by itself; false: the edit has ended */
  held?: boolean;
  release?: boolean;
}

export interface IPreviewRequest {
  conversation_id?: string;
  parent_id?: string | null;
  mode?: Mode;
  model?: string;
  text?: string;
  context?: ContextPart[];
}

export interface IConversationPatch {
  title?: string;
  head_id?: string;
}

// Answers.

export type AnswerPart =
  { type: 'text'; text: string } | { type: 'reasoning'; text: string };

export interface IMasked {
  placeholder: string;
  kind: string;
  count: number;
}

/** Why a row is as it is, to be worded by its code. */
export interface IReason {
  code: string;
  values?: number[];
}

export interface IReceiptPart {
  kind:
    | 'system'
    | 'rules'
    | 'summary'
    | 'history'
    | 'notebook'
    | 'cells'
    | 'selection'
    | 'file'
    | 'folder'
    | 'error'
    | 'image'
    | 'question';
  label: string;
  state: 'sent' | 'changes' | 'unchanged' | 'cut' | 'left_out' | 'unreadable';
  tokens?: number;
  left_out_tokens?: number;
  path?: string;
  reasons?: IReason[];
  /** the reasons in English */
  detail?: string;
  masked?: number;
}

export interface IReceipt {
  model: string;
  parts: IReceiptPart[];
  prompt_tokens: number;
  budget: number;
  context_length: number;
  max_tokens: number;
  exact?: boolean;
  left_out_turns?: number;
  /** in what is new with this turn; the history's row counts those sent before */
  masked?: IMasked[];
}

export interface IUsage {
  prompt?: number;
  completion?: number;
  cached?: number;
  ttft_ms?: number;
  total_ms?: number;
}

export interface IErrorInfo {
  code: string;
  message: string;
  hint?: string;
  retry_after?: number;
  request_id?: string;
  detail?: Record<string, number | string>;
}

export type StoppedBy = '' | 'user' | 'orphan';

export type TurnEvent =
  | { type: 'snapshot'; parts?: AnswerPart[] }
  | { type: 'pending'; held?: boolean }
  | { type: 'queued'; position: number; ahead: number }
  | { type: 'started'; model: string }
  | { type: 'receipt'; receipt: IReceipt }
  | { type: 'text'; delta: string }
  | { type: 'reasoning'; delta: string }
  | { type: 'usage'; usage: IUsage }
  | { type: 'finished'; reason: FinishReason; stopped_by?: StoppedBy }
  | { type: 'error'; error: IErrorInfo };

export interface ITurnCreated {
  turn_id: string;
  conversation_id: string;
  state: TurnState;
}

export interface IPill {
  kind: string;
  label: string;
  path?: string;
  /** id of the one cell that it points at; of a notebook the active one */
  cell?: string;
  auto?: boolean;
}

export interface ITurn {
  id: string;
  conversation_id: string;
  parent_id: string | null;
  state: TurnState;
  mode: Mode;
  text: string;
  created: number;
  model?: string;
  pills?: IPill[];
  parts?: AnswerPart[];
  finished?: number;
  receipt?: IReceipt;
  usage?: IUsage;
  error?: IErrorInfo;
  stopped_by?: StoppedBy;
  continue_of?: string;
  queue?: { position: number; ahead: number };
  cursor?: string;
}

export interface IConversationSummary {
  id: string;
  title: string;
  created: number;
  updated: number;
  turns: number;
  size?: number;
  /** id of the turn whose answer is being written */
  running?: string;
  excerpt?: string;
}

export interface IConversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  turns: ITurn[];
  head_id?: string;
}

export interface IModel {
  id: string;
  context_length: number;
  vision?: boolean;
  tokenizer?: boolean;
}

export type FeatureName = 'attach_files' | 'export' | 'images' | 'search';

export interface IFeature {
  enabled: boolean;
  /** the admin's own sentence */
  reason?: string;
}

export interface IStatus {
  version: string;
  model_server: {
    state: 'up' | 'loading' | 'down';
    message?: string;
    tiny?: boolean;
    /** where one that is down was looked for; absent on a hub */
    address?: string;
  };
  models: IModel[];
  default_model: string | null;
  policy: {
    features: Partial<Record<FeatureName, IFeature>>;
    history: 'disk' | 'memory';
  };
  announcements?: {
    id: string;
    level: 'info' | 'warning' | 'error';
    text: string;
    /** seconds of the epoch; the server leaves out one that has ended */
    ends?: number;
    /** absent: it is */
    dismissible?: boolean;
  }[];
}

export interface IQuota {
  window: 'day' | 'month';
  used: number;
  limit: number;
  /** seconds of the epoch */
  resets_at: number;
}

/** A destination in the building that this workspace may reach. */
export interface IReachable {
  name: string;
  port: number;
  /** false: no forwarder serves it */
  ready?: boolean;
}

export interface IUsageReport {
  prompt_today: number;
  completion_today: number;
  turns_today: number;
  quotas?: IQuota[];
  destinations?: IReachable[];
}

export interface ISearchHit {
  kind: 'file' | 'folder' | 'symbol';
  path: string;
  name: string;
  line?: number;
}
