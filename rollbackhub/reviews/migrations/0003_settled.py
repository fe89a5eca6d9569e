"""What was signed cannot change, and frozen figures change only while the review is being prepared: held by the database, too."""

from django.db import migrations

CHILDREN = ("reviewitem", "attendance", "wanteddecision", "reviewdecision", "reviewaction", "signoff")

# FOR SHARE waits for whoever signs at this moment (the signature and the state are one transaction), and makes that one wait for us.
CREATE = """
    CREATE FUNCTION reviews_keep_settled() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        found record;
    BEGIN
        FOR found IN SELECT id, state FROM reviews_review WHERE id IN (OLD.review_id, NEW.review_id) ORDER BY id FOR SHARE LOOP
            IF found.state = 'signed' THEN
                RAISE EXCEPTION '%: the review % is signed off: % is refused', TG_TABLE_NAME, found.id, TG_OP
                    USING ERRCODE = 'restrict_violation', HINT = 'Make an amendment: a new review that names it.';
            END IF;
            IF TG_TABLE_NAME <> 'reviews_signoff' AND EXISTS (SELECT 1 FROM reviews_signoff WHERE review_id = found.id) THEN
                RAISE EXCEPTION '%: somebody has signed the review % as it stands: % is refused', TG_TABLE_NAME, found.id, TG_OP
                    USING ERRCODE = 'restrict_violation', HINT = 'Make an amendment once everybody has signed.';
            END IF;
        END LOOP;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$;

    CREATE FUNCTION reviews_keep_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM reviews_review WHERE id IN (OLD.review_id, NEW.review_id) AND state <> 'preparing') THEN
            RAISE EXCEPTION 'reviews_reviewitem: the figures of the review % are frozen: % is refused', COALESCE(OLD.review_id, NEW.review_id), TG_OP
                USING ERRCODE = 'restrict_violation', HINT = 'Prepare the review again; that is possible until it is held.';
        END IF;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$;
    CREATE TRIGGER reviews_keep_frozen BEFORE UPDATE OF review_id, position, agenda, headline, content, query_seconds ON reviews_reviewitem
        FOR EACH ROW EXECUTE FUNCTION reviews_keep_frozen();
    CREATE TRIGGER reviews_keep_frozen_rows BEFORE INSERT OR DELETE ON reviews_reviewitem
        FOR EACH ROW EXECUTE FUNCTION reviews_keep_frozen();

    CREATE FUNCTION reviews_keep_signed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'INSERT' AND OLD.state = 'signed' THEN
            RAISE EXCEPTION 'reviews_review: the review % is signed off: % is refused', OLD.id, TG_OP
                USING ERRCODE = 'restrict_violation', HINT = 'Make an amendment: a new review that names it.';
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.state = 'signed' AND (jsonb_array_length(NEW.sign_off_roles) = 0 OR EXISTS (
            SELECT 1 FROM jsonb_array_elements_text(NEW.sign_off_roles) wanted(role)
            WHERE NOT EXISTS (SELECT 1 FROM reviews_signoff s WHERE s.review_id = NEW.id AND s.role = wanted.role)
        )) THEN
            RAISE EXCEPTION 'reviews_review: not every role of the review % has signed', NEW.id
                USING ERRCODE = 'restrict_violation', HINT = 'One person of each role in sign_off_roles signs.';
        END IF;
        IF TG_OP = 'UPDATE' AND EXISTS (SELECT 1 FROM reviews_signoff WHERE review_id = OLD.id)
            AND (OLD.team_id, OLD.quarter, OLD.amends_id, OLD.amendment_reason, OLD.meets_at, OLD.presenter_id, OLD.sign_off_roles, OLD.prepared_at, OLD.held_at)
            IS DISTINCT FROM
            (NEW.team_id, NEW.quarter, NEW.amends_id, NEW.amendment_reason, NEW.meets_at, NEW.presenter_id, NEW.sign_off_roles, NEW.prepared_at, NEW.held_at)
        THEN
            RAISE EXCEPTION 'reviews_review: somebody has signed the review % as it stands', OLD.id USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER reviews_keep_signed BEFORE INSERT OR UPDATE OR DELETE ON reviews_review
        FOR EACH ROW EXECUTE FUNCTION reviews_keep_signed();

    CREATE FUNCTION reviews_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM reviews_review r WHERE r.state = 'signed') THEN
            RAISE EXCEPTION '% keeps what was signed: TRUNCATE is refused', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER reviews_refuse_truncate BEFORE TRUNCATE ON reviews_review FOR EACH STATEMENT EXECUTE FUNCTION reviews_refuse_truncate();
""" + "".join(
    f"""
    CREATE TRIGGER reviews_keep_settled BEFORE INSERT OR UPDATE OR DELETE ON reviews_{child} FOR EACH ROW EXECUTE FUNCTION reviews_keep_settled();
    CREATE TRIGGER reviews_refuse_truncate BEFORE TRUNCATE ON reviews_{child} FOR EACH STATEMENT EXECUTE FUNCTION reviews_refuse_truncate();
    """
    for child in CHILDREN
)

DROP = (
    "".join(
        f"DROP TRIGGER reviews_keep_settled ON reviews_{child}; DROP TRIGGER reviews_refuse_truncate ON reviews_{child};" for child in CHILDREN
    )
    + """
    DROP TRIGGER reviews_refuse_truncate ON reviews_review;
    DROP TRIGGER reviews_keep_signed ON reviews_review;
    DROP TRIGGER reviews_keep_frozen_rows ON reviews_reviewitem;
    DROP TRIGGER reviews_keep_frozen ON reviews_reviewitem;
    DROP FUNCTION reviews_refuse_truncate();
    DROP FUNCTION reviews_keep_signed();
    DROP FUNCTION reviews_keep_frozen();
    DROP FUNCTION reviews_keep_settled();
"""
)


class Migration(migrations.Migration):
    dependencies = [("reviews", "0002_meeting")]

    operations = [migrations.RunSQL(CREATE, DROP)]
