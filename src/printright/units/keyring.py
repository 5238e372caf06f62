"""Packages and their keys, as a unit handles them: fetched whole and checked before a copy is spent, opened after."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from printright.domain.ids import Address, Digest, LicenseId
from printright.domain.license import License
from printright.errors import LedgerUnavailable, PackageRefused
from printright.ledger.port import Ledger, Signer
from printright.services.members import typed_domain
from printright.services.release import ReleaseJob, collect_design_key
from printright.units.journal import JobEntry
from printright.units.profiles import UnitIdentity
from printright.vault.custody_in_force import CustodyInForce, fetch_custody
from printright.vault.keys import UnsealingKey
from printright.vault.manifest import Manifest
from printright.vault.package import GCODE, Package, UnlockedPackage, fetch_manifest, open_package
from printright.vault.store import Store


class DesignKeys:
    """Fetches packages and asks custodians for the keys of this unit's running jobs. A key lives as long as its job."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: Store,
        custodians: Mapping[Address, str],
        unit_key: Signer,
        unsealing_key: UnsealingKey,
        identity: UnitIdentity,
        session: aiohttp.ClientSession,
    ) -> None:
        self._ledger, self._store, self._custodians = ledger, store, custodians
        self._unit_key, self._unsealing_key, self._session = unit_key, unsealing_key, session
        self._identity = identity
        self._manifests: dict[LicenseId, Manifest] = {}
        self._packages: dict[LicenseId, Package] = {}

    async def fetch(self, license: License) -> Package:
        """The license's package: here, whole, signed by the licensor and the one that the terms name.

        Raises PackageRefused for any other and for one that is no G-code, StoreUnavailable where it cannot be fetched.
        """
        package = self._packages.get(license.id)
        if package is None:
            manifest = await self._manifest(license)
            package = self._packages[license.id] = await open_package(manifest, self._store)
        return package

    async def _manifest(self, license: License) -> Manifest:
        manifest = self._manifests.get(license.id)
        if manifest is None:
            manifest = await fetch_manifest(Digest(license.document.manifest), self._store)
            if manifest.owner != license.licensor or manifest.content_id != license.content:
                raise PackageRefused(
                    "the package is not the one that the license is for",
                    hint="ask the licensor for a license of this version",
                )
            if manifest.media_type != GCODE:
                raise PackageRefused(
                    f"the package holds {manifest.media_type}, and this unit prints G-code",
                    hint="nothing was spent; ask the licensor for a license of the sliced file",
                )
            self._manifests[license.id] = manifest
        return manifest

    async def firmware_fault(self, license: License) -> str:
        """Why this machine's firmware keeps custodians from releasing the key; empty where it does not.

        Custodians look for themselves: this is asked so that no copy is spent in vain. Raises as `fetch` does.
        """
        return await self._identity.fault((await self._manifest(license)).minimum_firmware)

    async def _custody(self, manifest: Manifest, license: License) -> CustodyInForce:
        """Who holds the shares now, by the ledger's word; the record itself comes from the store."""
        _, design = await self._ledger.call_final("design", license.content)
        if design is None:
            raise LedgerUnavailable("no block of the ledger is final yet")
        return await fetch_custody(manifest, Digest(license.document.manifest), Digest(design.custody), self._store)

    async def parts_per_run(self, license: License) -> int:
        """How many parts one run makes, by the manifest alone. Raises as `fetch` does."""
        return (await self._manifest(license)).parts_per_run

    async def unlock(self, entry: JobEntry, license: License) -> UnlockedPackage:
        """Get the design key for a running job and open the package; the whole file is checked before it is returned.

        Raises ReleaseRefused, CustodianUnavailable, PackageRefused, LedgerUnavailable.
        """
        package = await self.fetch(license)
        profile = await self._identity.profile() if package.manifest.minimum_firmware else None
        job = ReleaseJob(typed_domain(self._ledger), entry.job, entry.sequence, license.terms, profile)
        key = await collect_design_key(
            package.manifest,
            job,
            self._custodians,
            unit_key=self._unit_key,
            unsealing_key=self._unsealing_key,
            session=self._session,
            custody=await self._custody(package.manifest, license),
        )
        unlocked = package.unlock(key)
        try:
            await asyncio.to_thread(unlocked.verify_file)
        except BaseException:
            unlocked.close()
            raise
        return unlocked
