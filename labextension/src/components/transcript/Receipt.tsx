/** What left the workspace for one turn, and what it cost. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IReceipt, IReceiptPart, ITurn, IUsage } from '../../wire/types';
import { figure } from '../figures';
import { whyOf } from '../reasons';
import { useRoom } from '../room';
import { seconds, secretWords, tokenWords } from '../words';

export function Receipt({ turn }: { turn: ITurn }): JSX.Element {
  const { trans } = useRoom();
  const { receipt, usage } = turn;
  return (
    <div
      className="jp-Cellar-receipt"
      role="group"
      aria-label={trans.__('Receipt')}
    >
      {receipt ? (
        <Sent receipt={receipt} usage={usage} unsent={neverLeft(turn)} />
      ) : null}
      {usage ? <Cost usage={usage} /> : null}
      {receipt?.masked?.length ? (
        <MaskedList receipt={receipt} unsent={neverLeft(turn)} />
      ) : null}
      {receipt?.left_out_turns ? (
        <p>
          {trans._n(
            'The oldest message did not fit and was left out.',
            'The oldest %1 messages did not fit and were left out.',
            receipt.left_out_turns
          )}
        </p>
      ) : null}
    </div>
  );
}

/** No connection could be made: what was put together stayed here. */
export function neverLeft({ error }: ITurn): boolean {
  return Boolean(error?.detail?.unsent);
}

function Sent(props: {
  receipt: IReceipt;
  usage?: IUsage;
  unsent: boolean;
}): JSX.Element {
  const { receipt, usage, unsent } = props;
  const { trans } = useRoom();
  const total = usage?.prompt || receipt.prompt_tokens;
  return (
    <table>
      <caption>
        {unsent
          ? trans.__(
              'Nothing was sent. This would have gone to %1:',
              receipt.model
            )
          : trans.__('Sent to %1', receipt.model)}
      </caption>
      <tbody>
        {receipt.parts.map((part, index) => (
          <Row key={index} part={part} />
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">
            {trans.__('In all')}{' '}
            <span className="jp-Cellar-dim">
              ·{' '}
              {receipt.exact || usage?.prompt
                ? trans.__('of %1', figure(receipt.budget))
                : trans.__('about, of %1', figure(receipt.budget))}
            </span>
          </th>
          <td className="jp-Cellar-number">{figure(total)}</td>
        </tr>
      </tfoot>
    </table>
  );
}

/** What became of it stands under its name: side by side they would break each other's words in a narrow panel. */
function Row({ part }: { part: IReceiptPart }): JSX.Element {
  const { trans } = useRoom();
  const name = partName(trans, part);
  const state = stateWords(trans, part);
  return (
    <tr data-state={part.state}>
      <th scope="row" title={part.path || name}>
        <span>{name}</span>
        {state ? <small>{state}</small> : null}
      </th>
      <td className="jp-Cellar-number">{figure(part.tokens ?? 0)}</td>
    </tr>
  );
}

function Cost({ usage }: { usage: IUsage }): JSX.Element {
  const { trans } = useRoom();
  const rows: [string, string][] = [];
  if (usage.completion) {
    rows.push([trans.__('Answer'), tokenWords(trans, usage.completion)]);
  }
  if (usage.cached !== undefined && usage.cached !== null) {
    rows.push([
      trans.__('Already read (cache)'),
      tokenWords(trans, usage.cached)
    ]);
  }
  if (usage.ttft_ms) {
    rows.push([trans.__('First word after'), seconds(trans, usage.ttft_ms)]);
  }
  if (usage.total_ms) {
    rows.push([trans.__('Whole answer after'), seconds(trans, usage.total_ms)]);
  }
  const speed = speedOf(usage);
  if (speed) {
    rows.push([
      trans.__('Speed'),
      trans.__('%1 tokens per second', figure(speed))
    ]);
  }
  return (
    <dl>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function MaskedList(props: {
  receipt: IReceipt;
  unsent: boolean;
}): JSX.Element {
  const { receipt, unsent } = props;
  const { trans } = useRoom();
  return (
    <>
      <p>
        {unsent
          ? trans.__('Secrets that were masked:')
          : trans.__('Secrets that were masked before anything was sent:')}
      </p>
      <ul>
        {receipt.masked?.map(masked => (
          <li key={masked.placeholder}>
            <code>{masked.placeholder}</code> {secretWords(trans, masked.kind)}
            {masked.count > 1 ? ` × ${masked.count}` : ''}
          </li>
        ))}
      </ul>
    </>
  );
}

/** A speed measured over less than this is noise. */
const FEWEST_TOKENS = 20;
const SHORTEST_MS = 500;

/** Whole tokens per second after the first one; null: not to be told. */
export function speedOf(usage: IUsage): number | null {
  const decoded = (usage.completion ?? 0) - 1;
  const spent = (usage.total_ms ?? 0) - (usage.ttft_ms ?? 0);
  if (decoded < FEWEST_TOKENS || spent < SHORTEST_MS) {
    return null;
  }
  return Math.round(decoded / (spent / 1000)) || null;
}

function partName(trans: TranslationBundle, part: IReceiptPart): string {
  switch (part.kind) {
    case 'system':
      return trans.__('Instructions');
    case 'rules':
      return trans.__('Rules: %1', part.label);
    case 'summary':
      return trans.__('Summary');
    case 'history':
      return trans.__('Earlier messages');
    case 'question':
      return trans.__('Question');
    default:
      return part.label;
  }
}

function stateWords(trans: TranslationBundle, part: IReceiptPart): string {
  const why = whyOf(trans, part);
  const left = part.left_out_tokens ?? 0;
  const masked = part.masked
    ? trans._n('%1 secret masked', '%1 secrets masked', part.masked)
    : '';
  // How much is told once: by the reason, where there is one.
  const lost =
    left && !why
      ? trans._n('%2 token left out', '%2 tokens left out', left, figure(left))
      : '';
  const state = {
    sent: '',
    changes: why ? '' : trans.__('only what changed'),
    unchanged: trans.__('unchanged'),
    cut: [trans.__('cut'), lost].filter(Boolean).join(', '),
    left_out: trans.__('left out'),
    unreadable: trans.__('cannot be read')
  }[part.state];
  return [state, why, masked].filter(Boolean).join(', ');
}
