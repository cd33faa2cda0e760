"""From payouts to files that contracts and apps accept: claim trees and payments, one file a format."""
