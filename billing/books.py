"""What must be true of the books, as one query per law: a query returns what breaks it.

Invariants of a double-entry ledger and of open-item accounting; the database's own triggers and constraints keep most
of them while rows are written, these find what got past them (a restore gone wrong, a hand in the tables).
"""

from billing.accounts import ACCOUNTS, BY_TAX_CLASS, PERSONAL


def _spelled(query: str) -> str:
    """A query with the lists of accounts in place of their names."""
    for name, keys in (("PERSONAL", PERSONAL), ("ACCOUNTS", ACCOUNTS), ("BY_TAX_CLASS", BY_TAX_CLASS)):
        query = query.replace(f"IN {name}", "IN (" + ", ".join(f"'{key}'" for key in keys) + ")")
    return query


# The numbers of documents: billing.chain asks for this one alone, too.
UNBROKEN_NUMBERS = (
    "Series {name} has given the numbers up to {given}; {found} documents carry {least} to {most}: there is a gap.",
    "SELECT kind.name, coalesce(s.last_number, 0) AS given, kind.found, kind.least, kind.most FROM ("
    "  SELECT series AS name, count(*) AS found, min(sequence) AS least, max(sequence) AS most FROM invoice "
    "  GROUP BY series UNION ALL "
    "  SELECT series, count(*), min(sequence), max(sequence) FROM credit_note GROUP BY series UNION ALL "
    "  SELECT 'receipt', count(*), 1, count(*) FROM payment WHERE method <> 'opening' HAVING count(*) > 0) kind "
    "LEFT JOIN series s ON s.name = kind.name "
    "WHERE kind.most <> coalesce(s.last_number, 0) OR kind.found <> kind.most - kind.least + 1",
)

# What has gone back of a payment or a credit note, by its source.
GONE = (
    "SELECT payment_id, credit_note_id, sum(amount_minor - beyond_minor) AS minor FROM gone_back "
    "WHERE way <> 'balance' "
    "AND CASE WHEN kind = 'dispute' THEN state = 'lost' ELSE state NOT IN ('failed', 'canceled') END "
    "GROUP BY payment_id, credit_note_id"
)

# Each query's columns fill the placeholders of its sentence.
LAWS: tuple[tuple[str, str], ...] = (
    (
        "Entry {source} does not sum to zero: {rest} {currency} are left.",
        "SELECT e.source, p.currency, sum(p.amount_minor) AS rest FROM posting p JOIN entry e ON e.id = p.entry_id "
        "GROUP BY e.source, p.currency HAVING sum(p.amount_minor) <> 0",
    ),
    (
        "Entry {source} has a posting to {account} that does not fit it: exactly the accounts of subscribers name one, "
        "in the subscriber's currency, and only revenue and unearned name a tax class.",
        _spelled(
            "SELECT e.source, p.account FROM posting p JOIN entry e ON e.id = p.entry_id "
            "LEFT JOIN subscriber s ON s.id = p.subscriber_id "
            "WHERE (p.account IN PERSONAL) <> (s.id IS NOT NULL) OR s.currency <> p.currency "
            "OR p.account NOT IN ACCOUNTS OR (p.tax_class_id IS NOT NULL AND p.account NOT IN BY_TAX_CLASS)"
        ),
    ),
    (
        "Subscriber {number}: the ledger says {booked} in {account}, the open items say {open}.",
        "WITH booked AS (SELECT subscriber_id, account, sum(amount_minor) AS minor FROM posting "
        "  WHERE account IN ('receivable', 'customer_credit') GROUP BY subscriber_id, account), "
        "items AS (SELECT subscriber_id, 'receivable' AS account, sum(open_minor) AS minor FROM open_item "
        "  GROUP BY subscriber_id UNION ALL "
        "  SELECT subscriber_id, 'customer_credit', -sum(left_minor) FROM open_credit GROUP BY subscriber_id) "
        "SELECT s.number, coalesce(b.account, i.account) AS account, coalesce(b.minor, 0) AS booked, "
        "coalesce(i.minor, 0) AS open FROM booked b FULL JOIN items i USING (subscriber_id, account) "
        "JOIN subscriber s ON s.id = coalesce(b.subscriber_id, i.subscriber_id) "
        "WHERE coalesce(b.minor, 0) <> coalesce(i.minor, 0)",
    ),
    (
        "Invoice {number} of {total} has {applied} applied to it and {open} open.",
        "SELECT i.number, i.total_minor AS total, coalesce(a.minor, 0) AS applied, coalesce(o.open_minor, 0) AS open "
        "FROM invoice i LEFT JOIN open_item o ON o.invoice_id = i.id "
        "LEFT JOIN (SELECT invoice_id, sum(amount_minor) AS minor FROM allocation GROUP BY invoice_id) a "
        "ON a.invoice_id = i.id "
        "WHERE i.total_minor <> coalesce(a.minor, 0) + coalesce(o.open_minor, 0) OR o.open_minor <= 0 "
        # what was settled and is open again is due from that day on
        "OR (o.subscriber_id, o.currency) <> (i.subscriber_id, i.currency) OR o.due_on < i.due_on "
        "OR (o.due_on > i.due_on AND NOT o.reopened)",
    ),
    (
        "{number} of {amount} is applied to invoices for {applied}, has {left} left, and {gone} have gone back.",
        f"WITH used AS (SELECT payment_id, credit_note_id, sum(amount_minor) AS minor FROM allocation "  # noqa: S608
        f"  WHERE write_off_id IS NULL GROUP BY payment_id, credit_note_id), gone AS ({GONE}), "
        # a cheque is worth nothing before it counts, and nothing goes back of it when it bounces before
        "source AS (SELECT p.receipt_number AS number, CASE WHEN q.state IN ('waiting', 'bounced') THEN 0 "
        "  ELSE p.amount_minor END AS amount_minor, u.minor AS used, o.left_minor, "
        "  CASE WHEN q.state = 'bounced' THEN 0 ELSE g.minor END AS gone "
        "  FROM payment p LEFT JOIN used u ON u.payment_id = p.id LEFT JOIN cheque q ON q.payment_id = p.id "
        "  LEFT JOIN open_credit o ON o.payment_id = p.id LEFT JOIN gone g ON g.payment_id = p.id UNION ALL "
        "  SELECT c.number, c.total_minor, u.minor, o.left_minor, g.minor FROM credit_note c "
        "  LEFT JOIN used u ON u.credit_note_id = c.id LEFT JOIN open_credit o ON o.credit_note_id = c.id "
        "  LEFT JOIN gone g ON g.credit_note_id = c.id) "
        "SELECT number, amount_minor AS amount, coalesce(used, 0) AS applied, coalesce(left_minor, 0) AS left, "
        "coalesce(gone, 0) AS gone FROM source "
        "WHERE amount_minor <> coalesce(used, 0) + coalesce(left_minor, 0) + coalesce(gone, 0) OR left_minor <= 0 "
        "OR used < 0",
    ),
    (
        "Of {number} more has gone back, or is disputed, than the {amount} that came in: {gone}.",
        "SELECT p.receipt_number AS number, p.amount_minor AS amount, sum(g.amount_minor - g.beyond_minor) AS gone "
        "FROM payment p JOIN gone_back g ON g.payment_id = p.id AND g.way <> 'balance' AND g.state NOT IN "
        "('failed', 'canceled', 'won', 'inquiry') GROUP BY p.id HAVING bool_or(g.subscriber_id <> p.subscriber_id) "
        "OR sum(g.amount_minor - g.beyond_minor) FILTER (WHERE g.state <> 'open') > p.amount_minor",
    ),
    (
        "Disputes under way come to {open} {currency}; 'disputed' holds {booked}.",
        "WITH item AS (SELECT currency, sum(amount_minor) AS minor FROM gone_back WHERE withdrawn_on IS NOT NULL "
        "  AND returned_on IS NULL AND state <> 'lost' GROUP BY currency), booked AS (SELECT currency, "
        "  sum(amount_minor) AS minor FROM posting WHERE account = 'disputed' GROUP BY currency) "
        "SELECT currency, coalesce(i.minor, 0) AS open, coalesce(b.minor, 0) AS booked "
        "FROM item i FULL JOIN booked b USING (currency) WHERE coalesce(i.minor, 0) <> coalesce(b.minor, 0)",
    ),
    (
        "Cheques under way of subscriber {number} come to {open} {currency}; the ledger holds {booked}.",
        "WITH item AS (SELECT q.subscriber_id, p.currency, sum(p.amount_minor) AS minor FROM cheque q "
        "  JOIN payment p ON p.id = q.payment_id WHERE q.state = 'waiting' GROUP BY 1, 2), "
        "booked AS (SELECT subscriber_id, currency, -sum(amount_minor) AS minor FROM posting "
        "  WHERE account = 'cheque_credit' GROUP BY 1, 2) "
        "SELECT s.number, coalesce(i.currency, b.currency) AS currency, coalesce(i.minor, 0) AS open, "
        "coalesce(b.minor, 0) AS booked "
        "FROM item i FULL JOIN booked b USING (subscriber_id, currency) JOIN subscriber s ON s.id = subscriber_id "
        "WHERE coalesce(i.minor, 0) <> coalesce(b.minor, 0)",
    ),
    (
        "'cheques' holds {rest} {currency} more than subscribers' cheques under way are worth.",
        "SELECT currency, sum(amount_minor) AS rest FROM posting WHERE account IN ('cheques', 'cheque_credit') "
        "GROUP BY currency HAVING sum(amount_minor) <> 0",
    ),
    (
        "Invoice {number} has {applied} of another subscriber or currency, or of nothing, applied to it.",
        "SELECT i.number, a.amount_minor AS applied FROM allocation a JOIN invoice i ON i.id = a.invoice_id "
        "LEFT JOIN payment p ON p.id = a.payment_id LEFT JOIN credit_note c ON c.id = a.credit_note_id "
        "LEFT JOIN write_off w ON w.id = a.write_off_id WHERE (a.amount_minor <= 0 AND a.write_off_id IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM gone_back g WHERE g.payment_id = a.payment_id)) OR a.amount_minor = 0 "
        "OR (i.subscriber_id, i.currency) "
        "<> (coalesce(p.subscriber_id, c.subscriber_id, w.subscriber_id), "
        "coalesce(p.currency, c.currency, w.currency))",
    ),
    (
        "Write-off {id} of {amount}, of which {back} are taken back, is applied for {applied}.",
        "SELECT w.id, w.amount_minor AS amount, coalesce(r.minor, 0) AS back, sum(a.amount_minor) AS applied "
        "FROM write_off w LEFT JOIN allocation a ON a.write_off_id = w.id LEFT JOIN (SELECT write_off_id, "
        "  sum(amount_minor) AS minor FROM reinstatement GROUP BY write_off_id) r ON r.write_off_id = w.id "
        "GROUP BY w.id, r.minor HAVING sum(a.amount_minor) IS DISTINCT FROM w.amount_minor - coalesce(r.minor, 0)",
    ),
    (
        "Invoice {number} has {credited} credited of its line {position} of {amount}.",
        "SELECT i.number, l.position, l.amount_minor AS amount, sum(c.amount_minor) AS credited "
        "FROM credit_note_line c "
        "JOIN invoice_line l ON l.id = c.invoice_line_id JOIN invoice i ON i.id = l.invoice_id GROUP BY i.id, l.id "
        "HAVING abs(sum(c.amount_minor)) > abs(l.amount_minor) OR sum(c.amount_minor) * sign(l.amount_minor) < 0",
    ),
    (
        "{number} does not add up: lines {lines}, net {net}, tax {tax}, total {total}.",
        "WITH document AS (SELECT i.number, i.net_minor, i.tax_minor, i.total_minor, i.taxes, "
        "  (SELECT sum(net_minor) FROM invoice_line WHERE invoice_id = i.id) AS lines FROM invoice i UNION ALL "
        "  SELECT c.number, c.net_minor, c.tax_minor, c.total_minor, c.taxes, "
        "  (SELECT sum(net_minor) FROM credit_note_line WHERE credit_note_id = c.id) FROM credit_note c) "
        "SELECT d.number, d.lines, d.net_minor AS net, d.tax_minor AS tax, d.total_minor AS total FROM document d, "
        "LATERAL (SELECT coalesce(sum((t->>'tax_minor')::bigint), 0) AS tax FROM jsonb_array_elements(d.taxes) t) g "
        "WHERE (d.lines, d.net_minor + d.tax_minor, g.tax) IS DISTINCT FROM (d.net_minor, d.total_minor, d.tax_minor)",
    ),
    (
        "{source} of {minor} on {day} is not booked as it stands: the ledger says {booked} on {booked_on}.",
        "WITH item AS (SELECT 'invoice:' || id AS source, subscriber_id, "
        # what was taken over from an old system is booked on the day of the move
        "  CASE WHEN series <> 'opening' THEN issued_on END AS day, total_minor AS minor "
        "  FROM invoice WHERE total_minor <> 0 UNION ALL "
        "  SELECT 'payment:' || id, subscriber_id, received_on, -amount_minor FROM payment "
        "  WHERE NOT EXISTS (SELECT 1 FROM cheque q WHERE q.payment_id = payment.id) UNION ALL "
        "  SELECT 'cheque_cleared:' || q.payment_id, q.subscriber_id, q.decided_on, -p.amount_minor "
        "  FROM cheque q JOIN payment p ON p.id = q.payment_id WHERE q.state = 'cleared' UNION ALL "
        "  SELECT 'credit_note:' || id, subscriber_id, issued_on, -total_minor FROM credit_note UNION ALL "
        "  SELECT 'write_off:' || id, subscriber_id, on_day, -amount_minor FROM write_off UNION ALL "
        "  SELECT 'reinstatement:' || id, subscriber_id, on_day, amount_minor FROM reinstatement UNION ALL "
        "  SELECT 'gone_back:' || id, subscriber_id, CASE WHEN kind = 'dispute' THEN ended_on ELSE on_day END, "
        "  amount_minor - beyond_minor FROM gone_back WHERE (kind <> 'dispute' OR state = 'lost') "
        "  AND way <> 'balance' AND NOT EXISTS (SELECT 1 FROM cheque q WHERE q.payment_id = gone_back.payment_id "
        "  AND q.state = 'bounced') "
        "  AND amount_minor > beyond_minor UNION ALL "
        "  SELECT 'came_again:' || id, subscriber_id, ended_on, beyond_minor - amount_minor FROM gone_back "
        "  WHERE kind <> 'dispute' AND state IN ('failed', 'canceled') AND amount_minor > beyond_minor UNION ALL "
        "  SELECT 'allocation:' || a.id, i.subscriber_id, NULL, 0 FROM allocation a JOIN invoice i "
        "  ON i.id = a.invoice_id WHERE a.write_off_id IS NULL), "
        "booked AS (SELECT e.source, e.day, p.subscriber_id, sum(p.amount_minor) AS minor FROM entry e "
        "  JOIN posting p ON p.entry_id = e.id AND p.account IN ('receivable', 'customer_credit') "
        "  GROUP BY e.id, p.subscriber_id) "
        "SELECT coalesce(i.source, b.source) AS source, i.minor, i.day, b.minor AS booked, b.day AS booked_on "
        "FROM item i FULL JOIN booked b ON b.source = i.source "
        "WHERE (i.subscriber_id, coalesce(i.day, b.day), i.minor) IS DISTINCT FROM (b.subscriber_id, b.day, b.minor) "
        "AND (i.source IS NOT NULL OR b.source ~ '^(invoice|payment|credit_note|write_off|reinstatement|gone_back|"
        "cheque_cleared|came_again|allocation):')",
    ),
    (
        "{service} is billed twice for {day}.",
        "WITH given AS (SELECT invoice_line_id AS id, sum(amount_minor) AS minor FROM credit_note_line GROUP BY 1), "
        # what a discount or a credit note has made nothing was not billed
        "line AS (SELECT l.id, l.service_id, coalesce(l.service_product_id, 0) AS product, l.period_start, "
        "  l.period_end FROM invoice_line l LEFT JOIN given g USING (id) "
        "  WHERE l.kind IN ('plan', 'product') AND l.amount_minor <> coalesce(g.minor, 0) AND l.amount_minor + "
        "  (SELECT coalesce(sum(d.amount_minor), 0) FROM invoice_line d WHERE d.invoice_id = l.invoice_id "
        "  AND d.service_id = l.service_id AND d.kind = 'discount' AND d.period_start >= l.period_start "
        "  AND d.period_end <= l.period_end) <> 0), "
        # only where one begins before another has ended is it worth counting days
        "doubtful AS (SELECT DISTINCT service_id, product FROM (SELECT *, max(period_end) OVER (PARTITION BY "
        "  service_id, product ORDER BY period_start, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach "
        "  FROM line) x WHERE period_start < reach), "
        "day AS (SELECT line.id, service_id, product, d::date AS day FROM line JOIN doubtful "
        "  USING (service_id, product), generate_series(period_start, period_end - 1, '1 day') d), "
        "credited AS (SELECT c.invoice_line_id AS id, d::date AS day FROM credit_note_line c, "
        "  generate_series(c.period_start, c.period_end - 1, '1 day') d) "
        "SELECT s.login AS service, day FROM day JOIN service s ON s.id = day.service_id "
        "WHERE NOT EXISTS (SELECT 1 FROM credited c WHERE (c.id, c.day) = (day.id, day.day)) "
        "GROUP BY s.login, day.product, day HAVING count(*) > 1",
    ),
    (
        "Card payment {gateway_id} is recorded {times} times.",
        "SELECT gateway_id, count(*) AS times FROM payment WHERE gateway_id IS NOT NULL "
        "GROUP BY gateway_id HAVING count(*) > 1",
    ),
    (
        "Payment {number} of {amount} redeems {times} vouchers worth {worth}.",
        "SELECT p.receipt_number AS number, p.amount_minor AS amount, count(v.id) AS times, "
        "coalesce(sum(b.value_minor), 0) AS worth FROM payment p LEFT JOIN voucher v ON v.payment_id = p.id "
        "LEFT JOIN voucher_batch b ON b.id = v.batch_id AND b.currency = p.currency "
        "WHERE p.method = 'voucher' OR v.id IS NOT NULL GROUP BY p.id "
        "HAVING p.method <> 'voucher' OR count(v.id) <> 1 OR sum(b.value_minor) IS DISTINCT FROM p.amount_minor",
    ),
    (
        "Vouchers for {open} {currency} are sold and not redeemed; the ledger says {booked}.",
        "WITH sold AS (SELECT b.currency, sum(b.value_minor) AS minor FROM voucher_batch b "
        "  JOIN voucher v ON v.batch_id = b.id WHERE b.sold_on IS NOT NULL AND b.voided_at IS NULL "
        "  AND v.payment_id IS NULL GROUP BY 1), "
        "booked AS (SELECT currency, -sum(amount_minor) AS minor FROM posting WHERE account = 'vouchers_sold' "
        "  GROUP BY 1) "
        "SELECT currency, coalesce(s.minor, 0) AS open, coalesce(b.minor, 0) AS booked "
        "FROM sold s FULL JOIN booked b USING (currency) WHERE coalesce(s.minor, 0) <> coalesce(b.minor, 0)",
    ),
    UNBROKEN_NUMBERS,
    (
        "{source} has {booked} of tax class {tax_class} in revenue; its lines come to {lines}.",
        "WITH line AS (SELECT 'invoice:' || invoice_id AS source, tax_class_id, -sum(net_minor) AS minor "
        "  FROM invoice_line WHERE kind NOT IN ('deposit', 'opening') GROUP BY invoice_id, tax_class_id UNION ALL "
        "  SELECT 'credit_note:' || c.credit_note_id, l.tax_class_id, sum(c.net_minor) FROM credit_note_line c "
        "  JOIN invoice_line l ON l.id = c.invoice_line_id WHERE l.kind <> 'deposit' "
        "  GROUP BY c.credit_note_id, l.tax_class_id), "
        "booked AS (SELECT e.source, p.tax_class_id, sum(p.amount_minor) AS minor FROM posting p "
        "  JOIN entry e ON e.id = p.entry_id WHERE p.account = 'revenue' AND e.source ~ '^(invoice|credit_note):' "
        "  GROUP BY e.source, p.tax_class_id) "
        "SELECT coalesce(l.source, b.source) AS source, coalesce(b.minor, 0) AS booked, "
        "coalesce(l.minor, 0) AS lines, coalesce(l.tax_class_id, b.tax_class_id, 0) AS tax_class "
        "FROM line l FULL JOIN booked b ON b.source = l.source "
        "AND coalesce(b.tax_class_id, 0) = coalesce(l.tax_class_id, 0) "
        "WHERE coalesce(l.minor, 0) <> coalesce(b.minor, 0)",
    ),
    (
        "Of write-off {id} of {amount}, {back} are taken back.",
        "SELECT w.id, w.amount_minor AS amount, sum(r.amount_minor) AS back FROM write_off w "
        "JOIN reinstatement r ON r.write_off_id = w.id GROUP BY w.id "
        "HAVING sum(r.amount_minor) > w.amount_minor OR min(r.amount_minor) <= 0 "
        "OR bool_or((r.invoice_id, r.subscriber_id, r.currency) <> (w.invoice_id, w.subscriber_id, w.currency))",
    ),
    (
        "{month} was closed with {closed} {currency} in {account} (tax class {tax_class}); now it is {now}.",
        "WITH moved AS (SELECT date_trunc('month', e.day)::date AS month, p.account, "
        "  coalesce(p.tax_class_id, 0) AS class, p.currency, sum(p.amount_minor) AS minor "
        "  FROM posting p JOIN entry e ON e.id = p.entry_id GROUP BY 1, 2, 3, 4), "
        "now AS (SELECT c.id, m.account, m.class, m.currency, sum(m.minor) AS minor FROM month_close c "
        "  JOIN moved m ON m.month <= c.month WHERE c.reopened_at IS NULL GROUP BY 1, 2, 3, 4), "
        "closed AS (SELECT c.id, b->>'account' AS account, coalesce((b->>'tax_class_id')::bigint, 0) AS class, "
        "  b->>'currency' AS currency, (b->>'minor')::bigint AS minor FROM month_close c, "
        "  jsonb_array_elements(c.balances) b WHERE c.reopened_at IS NULL) "
        "SELECT to_char(c.month, 'YYYY-MM') AS month, account, currency, class AS tax_class, "
        "coalesce(closed.minor, 0) AS closed, coalesce(now.minor, 0) AS now "
        "FROM now FULL JOIN closed USING (id, account, class, currency) JOIN month_close c USING (id) "
        "WHERE coalesce(closed.minor, 0) <> coalesce(now.minor, 0)",
    ),
    (
        "Unearned revenue of {month} (tax class {tax_class}) is put aside but not put back: {rest} are left.",
        "SELECT split_part(e.source, ':', 2) AS month, coalesce(p.tax_class_id, 0) AS tax_class, "
        "sum(p.amount_minor) AS rest FROM posting p JOIN entry e ON e.id = p.entry_id WHERE p.account = 'unearned' "
        "GROUP BY 1, 2 HAVING sum(p.amount_minor) <> 0",
    ),
)
