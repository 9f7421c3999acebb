"""EMV data objects by tag: their names, and which of them may be shown.

Names are those of EMV book 3 annex A, and a few of the contactless books.
What is not in :data:`TAGS` is not known to be harmless, so its value is not shown.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["TAGS", "Tag"]

_Form = Literal["hidden", "template", "binary", "text", "digits", "amount", "currency", "date", "cryptogram"]


class Tag(NamedTuple):
    """A data object: its name, and how its value is shown."""

    name: str
    form: _Form = "binary"


TAGS: dict[str, Tag] = {
    # ── card data and what belongs to the cardholder alone
    "56": Tag("Track 1 Data", "hidden"),
    "57": Tag("Track 2 Equivalent Data", "hidden"),
    "5A": Tag("Application PAN", "hidden"),
    "5F20": Tag("Cardholder Name", "hidden"),
    "5F30": Tag("Service Code", "digits"),
    "86": Tag("Issuer Script Command", "hidden"),
    "99": Tag("Transaction PIN Data", "hidden"),
    "9F0B": Tag("Cardholder Name Extended", "hidden"),
    "9F1F": Tag("Track 1 Discretionary Data", "hidden"),
    "9F20": Tag("Track 2 Discretionary Data", "hidden"),
    "9F6B": Tag("Track 2 Data", "hidden"),
    "9F7C": Tag("Customer Exclusive Data", "hidden"),
    # ── templates
    "61": Tag("Application Template", "template"),
    "6F": Tag("FCI Template", "template"),
    "70": Tag("Record Template", "template"),
    "71": Tag("Issuer Script Template 1", "template"),
    "72": Tag("Issuer Script Template 2", "template"),
    "77": Tag("Response Message Template Format 2", "template"),
    "A5": Tag("FCI Proprietary Template", "template"),
    # ── the application and the card
    "4F": Tag("Application Identifier (AID), Card"),
    "50": Tag("Application Label", "text"),
    "5F24": Tag("Application Expiration Date", "date"),
    "5F25": Tag("Application Effective Date", "date"),
    "5F28": Tag("Issuer Country Code", "digits"),
    "5F2D": Tag("Language Preference", "text"),
    "5F34": Tag("PAN Sequence Number", "digits"),
    "82": Tag("Application Interchange Profile"),
    "84": Tag("Dedicated File (DF) Name"),
    "8E": Tag("Cardholder Verification Method (CVM) List"),
    "8F": Tag("Certification Authority Public Key Index"),
    "9F07": Tag("Application Usage Control"),
    "9F08": Tag("Application Version Number, Card"),
    "9F0D": Tag("Issuer Action Code, Default"),
    "9F0E": Tag("Issuer Action Code, Denial"),
    "9F0F": Tag("Issuer Action Code, Online"),
    "9F10": Tag("Issuer Application Data"),
    "9F11": Tag("Issuer Code Table Index", "digits"),
    "9F12": Tag("Application Preferred Name", "text"),
    "9F13": Tag("Last Online ATC Register"),
    "9F17": Tag("PIN Try Counter"),
    "9F24": Tag("Payment Account Reference", "text"),
    "9F26": Tag("Application Cryptogram"),
    "9F27": Tag("Cryptogram Information Data", "cryptogram"),
    "9F36": Tag("Application Transaction Counter (ATC)"),
    "9F4C": Tag("ICC Dynamic Number"),
    # ── the purchase and the terminal
    "5F2A": Tag("Transaction Currency Code", "currency"),
    "5F36": Tag("Transaction Currency Exponent", "digits"),
    "95": Tag("Terminal Verification Results"),
    "9A": Tag("Transaction Date", "date"),
    "9B": Tag("Transaction Status Information"),
    "9C": Tag("Transaction Type", "digits"),
    "9F01": Tag("Acquirer Identifier", "digits"),
    "9F02": Tag("Amount, Authorised", "amount"),
    "9F03": Tag("Amount, Other", "amount"),
    "9F06": Tag("Application Identifier (AID), Terminal"),
    "9F09": Tag("Application Version Number, Terminal"),
    "9F15": Tag("Merchant Category Code", "digits"),
    "9F16": Tag("Merchant Identifier", "text"),
    "9F1A": Tag("Terminal Country Code", "digits"),
    "9F1B": Tag("Terminal Floor Limit"),
    "9F1C": Tag("Terminal Identification", "text"),
    "9F1E": Tag("Interface Device (IFD) Serial Number", "text"),
    "9F21": Tag("Transaction Time", "digits"),
    "9F33": Tag("Terminal Capabilities"),
    "9F34": Tag("Cardholder Verification Method (CVM) Results"),
    "9F35": Tag("Terminal Type", "digits"),
    "9F37": Tag("Unpredictable Number"),
    "9F39": Tag("Point-of-Service (POS) Entry Mode", "digits"),
    "9F40": Tag("Additional Terminal Capabilities"),
    "9F41": Tag("Transaction Sequence Counter", "digits"),
    "9F4E": Tag("Merchant Name and Location", "text"),
    "9F53": Tag("Transaction Category Code", "text"),
    "9F66": Tag("Terminal Transaction Qualifiers"),
    "9F6C": Tag("Card Transaction Qualifiers"),
    "9F6E": Tag("Form Factor Indicator or Third Party Data"),
    # ── what the issuer says
    "89": Tag("Authorisation Code", "text"),
    "8A": Tag("Authorisation Response Code", "text"),
    "91": Tag("Issuer Authentication Data"),
    "9F5B": Tag("Issuer Script Results"),
}
