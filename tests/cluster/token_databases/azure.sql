-- What Azure Database for PostgreSQL has in database postgres, as far as the bootstrap uses it: the functions that
-- make and list Entra roles. Source: Microsoft Learn, "Manage Microsoft Entra roles in Azure Database for PostgreSQL".
CREATE ROLE azure_ad_user;
CREATE TABLE principals (rolname text, principaltype text, objectid text, tenantid text, ismfa int, isadmin int);
CREATE FUNCTION pgaadauth_create_principal_with_oid(
  role text, object_id text, kind text, is_admin bool, is_mfa bool) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  EXECUTE format('CREATE ROLE %I LOGIN', role);
  EXECUTE format('GRANT azure_ad_user TO %I', role);
  INSERT INTO principals VALUES (role, kind, object_id, 'tenant', is_mfa::int, is_admin::int);
  RETURN 'Created role for ' || role;
END $$;
CREATE FUNCTION pgaadauth_list_principals(admins_only bool) RETURNS SETOF principals
LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM principals WHERE NOT admins_only OR isadmin = 1';
